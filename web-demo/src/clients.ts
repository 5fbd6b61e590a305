// Every client brought to one shape: call it, get its messages as they come, and one outcome at the end.
import { fromBinary, toBinary, type DescMessage, type DescMethod, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { GrpcWebClientBase, MethodDescriptor, type Metadata, type RpcError } from "grpc-web";
import { build, detail, detailsOfTrailer, json, type Detail } from "./proto";
import { Exchange, expectXhr, tappedFetch, type Header } from "./tap";

/** A message, and when it came, in milliseconds since the call began. */
export interface Arrival {
  at: number;
  message: unknown;
}

export interface Outcome {
  code: number;
  text: string;
  details: Detail[];
  trailers: Header[];
  messages: Arrival[];
  ms: number;
  exchange: Exchange;
}

/** What a running call reports to. */
export interface Listener {
  arrived(arrival: Arrival): void;
}

export type Rpc = { method: DescMethod; fields: MessageInitShape<DescMessage> };

class Run {
  readonly exchange = new Exchange();
  readonly messages: Arrival[] = [];
  trailers: Header[] = [];
  private readonly began = performance.now();

  constructor(private readonly listener: Listener) {}

  message(message: unknown): void {
    const arrival = { at: performance.now() - this.began, message };
    this.messages.push(arrival);
    this.listener.arrived(arrival);
  }

  end(code: number, text: string, details: Detail[] = []): Outcome {
    const { messages, trailers, exchange } = this;
    return { code, text, details, trailers, messages, exchange, ms: performance.now() - this.began };
  }
}

function unpack(packed: string | undefined): Detail[] {
  try {
    return packed ? detailsOfTrailer(packed) : [];
  } catch {
    return [{ "@type": "grpc-status-details-bin", undecoded: packed ?? "" }];
  }
}

/** Google's own client (npm grpc-web), in text or binary mode. */
export function googleGrpcWeb(base: string, format: "text" | "binary") {
  return (rpc: Rpc, listener: Listener): Promise<Outcome> =>
    new Promise((resolve) => {
      const run = new Run(listener);
      const { method } = rpc;
      const url = `${base}/${method.parent.typeName}/${method.name}`;
      const client = new GrpcWebClientBase({ format });
      const kind = method.methodKind === "unary" ? "unary" : "server_streaming";
      // The library wants classes for its messages, and never makes one: only the two functions are called.
      const descriptor = new MethodDescriptor<Message, Message>(
        `/${method.parent.typeName}/${method.name}`,
        kind,
        Object as unknown as new () => Message,
        Object as unknown as new () => Message,
        (request: Message) => toBinary(method.input, request),
        (bytes: Uint8Array) => fromBinary(method.output, bytes),
      );
      const metadata: Metadata = {};
      const request = build(method.input, rpc.fields);
      let failed = false;
      const fail = (error: RpcError) => {
        if (failed) return;
        failed = true;
        run.trailers = Object.entries(error.metadata ?? {});
        const packed = error.metadata?.["grpc-status-details-bin"];
        resolve(run.end(error.code, error.message, unpack(packed)));
      };
      expectXhr(run.exchange, url);
      if (kind === "unary") {
        const call = client.rpcCall(url, request, metadata, descriptor, (error: RpcError | null, response) => {
          if (error) return fail(error);
          run.message(json(method.output, response));
          // The status comes in a later turn; it is the last thing a good call tells.
          setTimeout(() => resolve(run.end(0, "")), 0);
        });
        call.on("status", (status) => {
          if (status.code === 0) run.trailers = Object.entries(status.metadata ?? {});
        });
        return;
      }
      const call = client.serverStreaming(url, request, metadata, descriptor);
      call.on("data", (response) => run.message(json(method.output, response)));
      call.on("status", (status) => {
        if (status.code === 0) run.trailers = Object.entries(status.metadata ?? {});
      });
      call.on("error", fail);
      call.on("end", () => {
        if (!failed) setTimeout(() => resolve(run.end(0, "")), 0);
      });
    });
}

/** Connect's client, by the transport that `make` builds around a fetch. */
function connect(make: (fetch: typeof globalThis.fetch) => Transport) {
  return async (rpc: Rpc, listener: Listener): Promise<Outcome> => {
    const run = new Run(listener);
    const { method } = rpc;
    const client = createClient(method.parent, make(tappedFetch(run.exchange)));
    const options = {
      onTrailer(trailers: Headers) {
        run.trailers = [...trailers];
      },
    };
    const request = build(method.input, rpc.fields);
    const named = client as unknown as Record<string, (request: Message, o: typeof options) => unknown>;
    try {
      const answer = named[method.localName]?.(request, options);
      if (method.methodKind === "unary") {
        run.message(json(method.output, (await answer) as Message));
      } else {
        for await (const m of answer as AsyncIterable<Message>) run.message(json(method.output, m));
      }
      return run.end(0, "");
    } catch (reason) {
      const error = ConnectError.from(reason, Code.Unknown);
      const details = error.details.map((d) =>
        "desc" in d ? { "@type": d.desc.typeName, ...(d.value as object) } : detail(d.type, d.value),
      );
      if (run.trailers.length === 0) run.trailers = [...error.metadata].filter(([name]) => name.startsWith("grpc-"));
      return run.end(error.code, error.rawMessage, details);
    }
  };
}

export const connectJson = (base: string) => connect((fetch) => createConnectTransport({ baseUrl: base, fetch }));

export const connectBinary = (base: string) =>
  connect((fetch) => createConnectTransport({ baseUrl: base, fetch, useBinaryFormat: true }));

export const connectGet = (base: string) =>
  connect((fetch) => createConnectTransport({ baseUrl: base, fetch, useHttpGet: true }));

export const connectGrpcWeb = (base: string) => connect((fetch) => createGrpcWebTransport({ baseUrl: base, fetch }));

export interface Rest {
  method: "GET" | "POST" | "PATCH";
  path: string;
  body?: unknown;
  stream?: boolean;
}

interface StatusJson {
  code: number;
  message?: string;
  details?: Detail[];
}

function statusOf(value: unknown): StatusJson | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if ("error" in value) return statusOf(value.error);
  const others = Object.keys(value).filter((k) => !["code", "message", "details", "status"].includes(k));
  return "code" in value && typeof value.code === "number" && others.length === 0 ? (value as StatusJson) : undefined;
}

/** No library at all: fetch and JSON, by the paths of google.api.http. */
export function rest(base: string) {
  return async (call: Rest, listener: Listener): Promise<Outcome> => {
    const run = new Run(listener);
    const headers = new Headers({ accept: call.stream ? "application/x-ndjson" : "application/json" });
    const init: RequestInit = { method: call.method, headers };
    if (call.body !== undefined) {
      headers.set("content-type", "application/json");
      init.body = JSON.stringify(call.body);
    }
    try {
      const response = await tappedFetch(run.exchange)(base + call.path, init);
      if (!response.ok) {
        const text = await response.text();
        const status = statusOf(parse(text));
        return status
          ? run.end(status.code, status.message ?? "", status.details ?? [])
          : run.end(2, `HTTP ${response.status}: ${text.slice(0, 200)}`);
      }
      if (!call.stream) {
        run.message(parse(await response.text()));
        return run.end(0, "");
      }
      for await (const line of lines(response)) {
        const message = parse(line);
        const status = statusOf(message);
        if (status) return run.end(status.code, status.message ?? "", status.details ?? []);
        run.message(message);
      }
      return run.end(0, "");
    } catch (reason) {
      return run.end(14, String(reason));
    }
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** The lines of a body, each as soon as it is whole. */
async function* lines(response: Response): AsyncGenerator<string> {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += value ?? "";
    const parts = rest.split("\n");
    rest = parts.pop() ?? "";
    yield* parts.filter((p) => p.trim() !== "");
    if (done) break;
  }
  if (rest.trim() !== "") yield rest;
}
