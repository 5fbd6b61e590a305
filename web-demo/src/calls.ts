// What the page offers to call, and what each call must answer to pass.
import {
  connectBinary,
  connectGet,
  connectGrpcWeb,
  connectJson,
  googleGrpcWeb,
  rest,
  type Listener,
  type Outcome,
  type Rest,
  type Rpc,
} from "./clients";
import { serverStreaming, service, statusName, unary } from "./proto";

export type Dialect = "grpc-web-text" | "grpc-web-binary" | "connect-json" | "connect-binary" | "rest";

export const DIALECTS: Record<Dialect, string> = {
  "grpc-web-text": "gRPC-Web text",
  "grpc-web-binary": "gRPC-Web binary",
  "connect-json": "Connect JSON",
  "connect-binary": "Connect binary",
  rest: "REST",
};

/** The visitor's choices. */
export interface Inputs {
  name: string;
  shelf: string;
  count: number;
}

export interface Call {
  id: string;
  dialect: Dialect;
  /** What the row is called, if not as its protocol. */
  label?: string;
  /** Who makes the call. */
  client: string;
  /** What is worth knowing about it. */
  note: string;
  run(base: string, inputs: Inputs, listener: Listener): Promise<Outcome>;
  /** Why the outcome is not the right one, if it is not. */
  verdict(outcome: Outcome, inputs: Inputs): string | undefined;
}

export interface Group {
  id: "hello" | "watch" | "books" | "errors";
  title: string;
  method: string;
  text: string;
  /** All at once when everything runs, for streams that take their time. */
  together: boolean;
  calls: Call[];
}

const greeter = service("helloworld.Greeter");
const bookstore = service("bookstore.v1.Bookstore");
const sayHello = unary(greeter, "SayHello");
const watchBooks = serverStreaming(bookstore, "WatchBooks");
const getBook = unary(bookstore, "GetBook");
const createBook = unary(bookstore, "CreateBook");

type RpcClient = (rpc: Rpc, listener: Listener) => Promise<Outcome>;
type Spec = Omit<Call, "run" | "verdict">;
type Verdict = Call["verdict"];

function byRpc(spec: Spec, client: (base: string) => RpcClient, rpc: (i: Inputs) => Rpc, verdict: Verdict): Call {
  return { ...spec, verdict, run: (base, inputs, listener) => client(base)(rpc(inputs), listener) };
}

function byRest(spec: Omit<Spec, "dialect" | "client">, call: (i: Inputs) => Rest, verdict: Verdict): Call {
  return {
    ...spec,
    dialect: "rest",
    client: "fetch",
    verdict,
    run: (base, inputs, listener) => rest(base)(call(inputs), listener),
  };
}

type Fields = Record<string, unknown>;
const first = (o: Outcome) => (o.messages[0]?.message ?? {}) as Fields;
const failure = (o: Outcome) => (o.code === 0 ? undefined : `${statusName(o.code)}: ${o.text}`);

const isHello: Verdict = (o, i) => {
  const wanted = `Hello ${i.name}`;
  return failure(o) ?? (first(o).message === wanted ? undefined : `the message is not "${wanted}"`);
};

// Fewer than this apart, and the messages came in one lump.
const INCREMENTAL_MS = 100;

const isWatch: Verdict = (o, i) => {
  const failed = failure(o);
  if (failed) return failed;
  if (o.messages.length !== i.count) return `${o.messages.length} messages instead of ${i.count}`;
  const outOfOrder = o.messages.some(({ message }, n) => Number((message as Fields).sequence) !== n + 1);
  if (outOfOrder) return "the messages are not in order";
  const span = (o.messages.at(-1)?.at ?? 0) - (o.messages[0]?.at ?? 0);
  return i.count > 1 && span < INCREMENTAL_MS ? "the messages came all at once" : undefined;
};

function refused(code: number, http: number | undefined, ...types: string[]): Verdict {
  return (o) => {
    if (o.code !== code) return `${statusName(o.code)} instead of ${statusName(code)}`;
    if (http !== undefined && o.exchange.httpStatus !== http) return `HTTP ${o.exchange.httpStatus} instead of ${http}`;
    const missing = types.find((t) => !o.details.some((d) => d["@type"].endsWith(`/${t}`)));
    return missing ? `no ${missing} among the details` : undefined;
  };
}

const NOT_FOUND = 5;
const INVALID_ARGUMENT = 3;
const UNKNOWN_BOOK = "shelves/1/books/404";

const notFound = (http?: number) => refused(NOT_FOUND, http, "google.rpc.ErrorInfo", "google.rpc.ResourceInfo");
const noTitle = (http?: number) => refused(INVALID_ARGUMENT, http, "google.rpc.BadRequest");

const hello = (i: Inputs): Rpc => ({ method: sayHello, fields: { name: i.name } });
const watch = (i: Inputs): Rpc => ({ method: watchBooks, fields: { parent: i.shelf, count: i.count } });
const unknown = (): Rpc => ({ method: getBook, fields: { name: UNKNOWN_BOOK } });
const untitled = (): Rpc => ({ method: createBook, fields: { parent: "shelves/1", book: { title: "" } } });

const googleText = (base: string) => googleGrpcWeb(base, "text");
const googleBinary = (base: string) => googleGrpcWeb(base, "binary");

export const GROUPS: Group[] = [
  {
    id: "hello",
    title: "Say hello",
    method: "helloworld.Greeter/SayHello",
    text: "One unary method, six ways in. The upstream gets the same gRPC call each time.",
    together: false,
    calls: [
      byRpc(
        { id: "hello-grpc-web-text", dialect: "grpc-web-text", client: "grpc-web", note: "base64 frames, by XMLHttpRequest" },
        googleText, hello, isHello,
      ),
      byRpc(
        { id: "hello-grpc-web-binary", dialect: "grpc-web-binary", client: "grpc-web", note: "length-prefixed frames" },
        googleBinary, hello, isHello,
      ),
      byRpc(
        { id: "hello-connect-json", dialect: "connect-json", client: "connect-web", note: "a JSON body, nothing around it" },
        connectJson, hello, isHello,
      ),
      byRpc(
        { id: "hello-connect-binary", dialect: "connect-binary", client: "connect-web", note: "a protobuf body, nothing around it" },
        connectBinary, hello, isHello,
      ),
      byRpc(
        { id: "hello-connect-get", dialect: "connect-json", label: "Connect GET", client: "connect-web", note: "the message is in the query: cacheable" },
        connectGet, hello, isHello,
      ),
      byRest(
        { id: "hello-rest", note: "the name is a segment of the path" },
        (i) => ({ method: "GET", path: `/v1/greeter/${encodeURIComponent(i.name)}` }), isHello,
      ),
    ],
  },
  {
    id: "watch",
    title: "Watch a shelf",
    method: "bookstore.v1.Bookstore/WatchBooks",
    text: "A server stream. Each mark on the line is a message, where it arrived.",
    together: true,
    calls: [
      byRpc(
        { id: "watch-grpc-web-text", dialect: "grpc-web-text", client: "grpc-web", note: "streams by XMLHttpRequest" },
        googleText, watch, isWatch,
      ),
      byRpc(
        { id: "watch-grpc-web-binary", dialect: "grpc-web-binary", client: "connect-web", note: "its gRPC-Web transport, by fetch" },
        connectGrpcWeb, watch, isWatch,
      ),
      byRpc(
        { id: "watch-connect-json", dialect: "connect-json", client: "connect-web", note: "enveloped JSON messages" },
        connectJson, watch, isWatch,
      ),
      byRest(
        { id: "watch-rest", note: "NDJSON, a line a message" },
        (i) => ({ method: "GET", path: `/v1/${i.shelf}/books:watch?count=${i.count}`, stream: true }), isWatch,
      ),
    ],
  },
  {
    id: "books",
    title: "Keep a bookstore",
    method: "bookstore.v1.Bookstore",
    text: "The same service as a REST resource, by the google.api.http rules in its .proto file.",
    together: false,
    calls: [
      byRest(
        { id: "shelves-rest", note: "ListShelves: paging by query" },
        () => ({ method: "GET", path: "/v1/shelves?page_size=2" }),
        (o) => {
          const { shelves, nextPageToken } = first(o) as { shelves?: Fields[]; nextPageToken?: string };
          return failure(o) ?? (shelves?.length === 2 && nextPageToken ? undefined : "not the first two shelves and a next page");
        },
      ),
      byRest(
        { id: "books-rest", note: "ListBooks: a nested filter, an enum and a field mask by query" },
        () => ({ method: "GET", path: "/v1/shelves/1/books?filter.genre=NOVEL&order_by=title&read_mask=name,title,genre" }),
        (o) => {
          const books = (first(o) as { books?: Fields[] }).books ?? [];
          return failure(o) ?? (books.length > 0 && books.every((b) => b.genre === "NOVEL") ? undefined : "not a list of novels");
        },
      ),
      byRest(
        { id: "book-rest", note: "GetBook: timestamps, durations, int64, bytes, maps in JSON" },
        () => ({ method: "GET", path: "/v1/shelves/1/books/1" }),
        (o) => failure(o) ?? (first(o).name === "shelves/1/books/1" && first(o).title ? undefined : "not the book asked for"),
      ),
      byRest(
        { id: "book-update-rest", note: "UpdateBook: PATCH with an update mask" },
        () => ({ method: "PATCH", path: "/v1/shelves/1/books/1?update_mask=rating", body: { rating: 4.75 } }),
        (o) => failure(o) ?? (first(o).rating === 4.75 && first(o).title ? undefined : "not the book with its new rating"),
      ),
    ],
  },
  {
    id: "errors",
    title: "See it refuse",
    method: "bookstore.v1.Bookstore/GetBook, CreateBook",
    text: "A book that is not there, then one without a title. Every caller gets the status and its google.rpc details in its own protocol.",
    together: false,
    calls: [
      byRpc(
        { id: "error-grpc-web-text", dialect: "grpc-web-text", client: "grpc-web", note: "status in the trailers frame" },
        googleText, unknown, notFound(200),
      ),
      byRpc(
        { id: "error-grpc-web-binary", dialect: "grpc-web-binary", client: "grpc-web", note: "status in the trailers frame" },
        googleBinary, unknown, notFound(200),
      ),
      byRpc(
        { id: "error-connect-json", dialect: "connect-json", client: "connect-web", note: "error JSON, details as base64" },
        connectJson, unknown, notFound(404),
      ),
      byRpc(
        { id: "error-connect-binary", dialect: "connect-binary", client: "connect-web", note: "error JSON here too" },
        connectBinary, unknown, notFound(404),
      ),
      byRest(
        { id: "error-rest", note: "google.rpc.Status as JSON" },
        () => ({ method: "GET", path: `/v1/${UNKNOWN_BOOK}` }), notFound(404),
      ),
      byRpc(
        { id: "invalid-connect-json", dialect: "connect-json", client: "connect-web", note: "a book without a title" },
        connectJson, untitled, noTitle(400),
      ),
      byRest(
        { id: "invalid-rest", note: "a book without a title" },
        () => ({ method: "POST", path: "/v1/shelves/1/books", body: { title: "" } }), noTitle(400),
      ),
    ],
  },
];
