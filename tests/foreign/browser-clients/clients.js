// Every client library in one shape, so that one list of cases serves them all:
//
//     unary(method, init, options)    -> { message, headers, trailers }
//     stream(method, init, options)   -> { messages, headers, trailers }
//     duplex(method, inits, options)  -> the same; `inits` is an async iterable. Only where a browser can.
//
// options: `headers`, `deadlineMs`, `onMessage(message, count)` (true: that was enough, cancel), `signal` (duplex),
// `spoil` (send what the method cannot read: damaged protobuf, or JSON with a field that is not there).
// What fails throws a CallError.
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { GrpcWebFetchTransport } from "@protobuf-ts/grpcweb-transport";
import * as google from "grpc-web";
import { errorDetailsClientMiddleware } from "nice-grpc-error-details";
import * as nice from "nice-grpc-web";
import { detailsOf, fromBase64, messageOf, pathOf, protobufTsMethod, registry, Test } from "./schema.js";

/** How a call failed, as the library told it. */
export class CallError extends Error {
  constructor(library, { code, text, details = {}, metadata = {} }) {
    super(`${library}: code ${code}, ${JSON.stringify(text)}`);
    /** The gRPC code. */
    this.code = code;
    this.text = text;
    /** `google.rpc` details by the short name of their type. */
    this.details = details;
    this.metadata = metadata;
  }
}

/** Field 1, a varint, and then nothing. */
const DAMAGED = Uint8Array.of(8);
const DAMAGED_JSON = new TextEncoder().encode('{"thereIsNoSuchField": 1}');

const serializer = (method, options) => (message) => (options.spoil ? DAMAGED : toBinary(method.input, message));
const detailsIn = (field) => (field ? detailsOf(fromBase64(field)).details : {});

// === Google's grpc-web

function googleClient({ base, credentials }, format) {
  const client = new google.GrpcWebClientBase({ format, withCredentials: credentials });
  const descriptor = (method, options) =>
    new google.MethodDescriptor(pathOf(method), method.methodKind === "unary" ? "unary" : "server_streaming",
      Object, Object, serializer(method, options), (bytes) => fromBinary(method.output, bytes));
  const metadata = ({ headers, deadlineMs }) =>
    ({ ...headers, ...(deadlineMs ? { deadline: String(Date.now() + deadlineMs) } : {}) });
  const failure = ({ code, message, metadata }) =>
    new CallError("grpc-web", { code, text: message, details: detailsIn(metadata?.["grpc-status-details-bin"]), metadata });
  return {
    unary: (method, init, options = {}) => new Promise((resolve, reject) => {
      const out = { headers: {}, trailers: {} };
      const call = client.rpcCall(base + pathOf(method), messageOf(method.input, init), metadata(options),
        descriptor(method, options), (error, message) => {
          if (error) return reject(failure(error));
          out.message = message;
        });
      call.on("metadata", (headers) => { out.headers = headers; });
      call.on("status", (status) => { out.trailers = status.metadata ?? {}; });
      call.on("end", () => resolve(out));
    }),
    stream: (method, init, options = {}) => new Promise((resolve, reject) => {
      const out = { messages: [], headers: {}, trailers: {} };
      const call = client.serverStreaming(base + pathOf(method), messageOf(method.input, init), metadata(options),
        descriptor(method, options));
      call.on("metadata", (headers) => { out.headers = headers; });
      call.on("data", (message) => {
        out.messages.push(message);
        if (!options.onMessage?.(message, out.messages.length)) return;
        call.cancel();
        resolve(out);
      });
      call.on("error", (error) => reject(failure(error)));
      call.on("status", (status) => { out.trailers = status.metadata ?? {}; });
      call.on("end", () => resolve(out));
    }),
  };
}

// === protobuf-ts

const NAMES = ["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
  "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"];

/** This library hands grpc-message on as it came, percent-coded. */
function plain(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function protobufTsClient({ base, credentials }, format) {
  const transport = new GrpcWebFetchTransport({ baseUrl: base, format, fetchInit: credentials ? { credentials: "include" } : {} });
  const failure = ({ code, message, meta }) => new CallError("protobuf-ts",
    { code: NAMES.indexOf(code), text: plain(message), details: detailsIn(meta?.["grpc-status-details-bin"]), metadata: meta });
  const prepare = (method, init, { headers = {}, deadlineMs, spoil }, abort) => {
    const info = protobufTsMethod(method);
    const request = info.I.create(init);
    if (spoil) info.I = Object.assign(Object.create(info.I), { toBinary: () => DAMAGED });
    return [info, request, transport.mergeOptions({ meta: headers, abort, ...(deadlineMs ? { timeout: deadlineMs } : {}) })];
  };
  return {
    unary: async (method, init, options = {}) => {
      try {
        const call = transport.unary(...prepare(method, init, options));
        return { message: await call.response, headers: await call.headers, trailers: await call.trailers };
      } catch (error) {
        throw failure(error);
      }
    },
    stream: async (method, init, options = {}) => {
      const abort = new AbortController();
      const messages = [];
      try {
        const call = transport.serverStreaming(...prepare(method, init, options, abort.signal));
        for await (const message of call.responses) {
          messages.push(message);
          if (options.onMessage?.(message, messages.length)) {
            abort.abort();
            return { messages };
          }
        }
        await call.status;
        return { messages, headers: await call.headers, trailers: await call.trailers };
      } catch (error) {
        throw failure(error);
      }
    },
  };
}

// === nice-grpc-web

const niceDefinition = (method, options) => ({
  [method.localName]: {
    path: pathOf(method),
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    options: {},
    requestSerialize: serializer(method, options),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (message) => toBinary(method.output, message),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  },
});

/** `-bin` metadata is bytes to this library. */
const niceMetadata = (headers = {}) =>
  nice.Metadata(Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, name.endsWith("-bin") ? fromBase64(value) : value])));
const toBase64 = (value) => (value instanceof Uint8Array ? btoa(String.fromCharCode(...value)) : value);
const fromNice = (metadata) => Object.fromEntries([...metadata].map(([name, values]) => [name, values.map(toBase64).join(", ")]));

function niceFailure(error) {
  if (error instanceof CallError) return error;
  // The library has no deadlines: its users abort by a signal, and so do we.
  if (error.name === "AbortError") return new CallError("nice-grpc-web", { code: 4, text: "aborted" });
  const details = Object.fromEntries((error.extra ?? []).map((detail) => [detail.$type.split(".").pop(), detail]));
  return new CallError("nice-grpc-web", { code: error.code ?? -1, text: error.details ?? error.message, details });
}

function niceClient({ base }, transport) {
  const channel = nice.createChannel(base, transport);
  const factory = nice.createClientFactory().use(errorDetailsClientMiddleware);
  const start = (method, request, options, out, abort = new AbortController()) => {
    options.signal?.addEventListener("abort", () => abort.abort());
    if (options.deadlineMs) setTimeout(() => abort.abort(), options.deadlineMs);
    return factory.create(niceDefinition(method, options), channel)[method.localName](request, {
      metadata: niceMetadata(options.headers),
      signal: abort.signal,
      onHeader: (headers) => { out.headers = fromNice(headers); },
      onTrailer: (trailers) => { out.trailers = fromNice(trailers); },
    });
  };
  const one = async (method, request, options) => {
    const out = {};
    try {
      out.message = await start(method, request, options, out);
      return out;
    } catch (error) {
      throw niceFailure(error);
    }
  };
  const many = async (method, request, options) => {
    const out = { messages: [] };
    const abort = new AbortController();
    try {
      for await (const message of start(method, request, options, out, abort)) {
        out.messages.push(message);
        // leaving the loop does not end the request, by this library's fetch
        if (options.onMessage?.(message, out.messages.length)) abort.abort();
      }
      return out;
    } catch (error) {
      if (abort.signal.aborted && out.messages.length > 0) return out;
      throw niceFailure(error);
    }
  };
  async function* messages(method, inits) {
    for await (const init of inits) yield messageOf(method.input, init);
  }
  return {
    unary: (method, init, options = {}) => one(method, messageOf(method.input, init), options),
    stream: (method, init, options = {}) => many(method, messageOf(method.input, init), options),
    duplex: (method, inits, options = {}) =>
      (method.methodKind === "client_streaming" ? one : many)(method, messages(method, inits), options),
  };
}

// === connect-web

const framed = (body) => Uint8Array.of(0, 0, 0, 0, body.length, ...body);

/** A fetch that puts a damaged message in the place of the request's. */
function spoiler({ json }) {
  const message = json ? DAMAGED_JSON : DAMAGED;
  return (input, init) => {
    const url = new URL(input);
    if (init.method === "GET") {
      url.searchParams.set("message", json ? new TextDecoder().decode(message) : btoa(String.fromCharCode(...message)));
      url.searchParams.set("base64", json ? "0" : "1");
      return fetch(url, init);
    }
    const bare = /^application\/(proto|json)$/.test(init.headers.get("content-type"));
    return fetch(url, { ...init, body: bare ? message : framed(message) });
  };
}

/** Asks for `credentials` where the edge allows them. */
const withCredentials = (fetch) => (input, init) => fetch(input, { ...init, credentials: "include" });

function connectFailure(error) {
  const details = {};
  for (const detail of error.details ?? []) {
    const schema = registry.getMessage(detail.type);
    // what findDetails gives is decoded from the bytes; `debug` is the edge's own JSON of it
    [details[schema.name]] = error.findDetails(schema);
    if (detail.debug !== undefined) details[`${schema.name}.debug`] = detail.debug;
  }
  return new CallError("connect-web", { code: error.code, text: error.rawMessage ?? error.message, details,
    metadata: error.metadata ? Object.fromEntries(error.metadata) : {} });
}

function connectClient({ base, credentials }, create, traits) {
  const client = (method, options) => {
    let call = options.spoil ? spoiler(traits) : globalThis.fetch;
    if (credentials) call = withCredentials(call);
    const transport = create({ baseUrl: base, useBinaryFormat: !traits.json, useHttpGet: traits.get, fetch: call });
    return createClient(method.parent, transport);
  };
  // Only methods that are declared free of side effects go by GET.
  const pick = (method) => (traits.get && method === Test.unaryCall ? Test.cacheableUnaryCall : method);
  const settings = (options, out) => ({
    headers: options.headers ?? {},
    ...(options.deadlineMs ? { timeoutMs: options.deadlineMs } : {}),
    onHeader: (headers) => { out.headers = Object.fromEntries(headers); },
    onTrailer: (trailers) => { out.trailers = Object.fromEntries(trailers); },
  });
  return {
    unary: async (method, init, options = {}) => {
      const out = {};
      try {
        const { localName } = pick(method);
        out.message = await client(method, options)[localName](init, settings(options, out));
        return out;
      } catch (error) {
        throw connectFailure(error);
      }
    },
    stream: async (method, init, options = {}) => {
      const out = { messages: [] };
      const abort = new AbortController();
      try {
        const call = client(method, options)[method.localName](init, { ...settings(options, out), signal: abort.signal });
        for await (const message of call) {
          out.messages.push(message);
          if (!options.onMessage?.(message, out.messages.length)) continue;
          // leaving the loop does not end the request, by this library
          abort.abort();
          return out;
        }
        return out;
      } catch (error) {
        throw connectFailure(error);
      }
    },
  };
}

// === all of them

const niceFetch = (target) => niceClient(target, nice.FetchTransport(target.credentials ? { credentials: "include" } : {}));
const connect = (name, create, traits) => ({ name, ...traits, streams: true, make: (target) => connectClient(target, create, traits) });
const grpcWeb = (name, traits, make) => ({ name, dialect: "grpc-web", streams: true, ...traits, make });

/** `streams`: takes server streams. `duplex`: sends streams; "h2": over HTTP/2 alone, and half-duplex. */
export const CLIENTS = [
  grpcWeb("google grpc-web, text", {}, (target) => googleClient(target, "text")),
  // In binary mode this library has no streams, as its documentation says.
  grpcWeb("google grpc-web, binary", { streams: false }, (target) => googleClient(target, "binary")),
  grpcWeb("protobuf-ts, text", {}, (target) => protobufTsClient(target, "text")),
  grpcWeb("protobuf-ts, binary", {}, (target) => protobufTsClient(target, "binary")),
  grpcWeb("nice-grpc-web", { duplex: "h2" }, niceFetch),
  grpcWeb("nice-grpc-web, WebSocket", { duplex: "full", webSocket: true }, (target) => niceClient(target, nice.WebsocketTransport())),
  connect("connect-web, grpc-web binary", createGrpcWebTransport, { dialect: "grpc-web" }),
  connect("connect-web, grpc-web JSON", createGrpcWebTransport, { dialect: "grpc-web", json: true }),
  connect("connect-web, connect binary", createConnectTransport, { dialect: "connect" }),
  connect("connect-web, connect JSON", createConnectTransport, { dialect: "connect", json: true }),
  connect("connect-web, connect GET", createConnectTransport, { dialect: "connect", json: true, get: true }),
  connect("connect-web, connect GET binary", createConnectTransport, { dialect: "connect", get: true }),
];
