// Listens in on the wire: what the client libraries really send and get, by fetch and by XMLHttpRequest.

export type Header = readonly [name: string, value: string];

/** One HTTP exchange, as far as a page can see it. */
export class Exchange {
  method = "";
  url = "";
  requestHeaders: Header[] = [];
  requestBody = new Uint8Array();
  httpStatus = 0;
  responseHeaders: Header[] = [];
  responseBody = new Uint8Array();

  get path(): string {
    const url = new URL(this.url, location.href);
    return url.pathname + url.search;
  }

  get contentType(): string {
    return this.responseHeaders.find(([name]) => name === "content-type")?.[1] ?? "";
  }

  get requestType(): string {
    return this.requestHeaders.find(([name]) => name === "content-type")?.[1] ?? "";
  }
}

const utf8 = new TextEncoder();

async function bytesOf(body: BodyInit | null | undefined): Promise<Uint8Array<ArrayBuffer>> {
  if (body === null || body === undefined) return new Uint8Array();
  return new Uint8Array(await new Response(body).arrayBuffer());
}

function append(to: Exchange, chunk: Uint8Array): void {
  const joined = new Uint8Array(to.responseBody.length + chunk.length);
  joined.set(to.responseBody);
  joined.set(chunk, to.responseBody.length);
  to.responseBody = joined;
}

/** A fetch that writes down what passes. */
export function tappedFetch(exchange: Exchange): typeof globalThis.fetch {
  return async (input, init) => {
    const request = input instanceof Request ? input : undefined;
    exchange.method = init?.method ?? request?.method ?? "GET";
    exchange.url = String(request?.url ?? input);
    exchange.requestHeaders = [...new Headers(init?.headers ?? request?.headers ?? {})];
    exchange.requestBody = await bytesOf(init?.body);
    // A body made of one buffer keeps its content-length, where a stream would have none.
    const send = { ...init, ...(exchange.requestBody.length > 0 ? { body: exchange.requestBody } : {}) };
    const response = await fetch(input, send);
    exchange.httpStatus = response.status;
    exchange.responseHeaders = [...response.headers];
    if (!response.body) return response;
    const watched = response.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, out) {
          append(exchange, chunk);
          out.enqueue(chunk);
        },
      }),
    );
    return new Response(watched as ReadableStream<Uint8Array<ArrayBuffer>>, {
      status: response.status,
      statusText: response.statusText,
      headers: response.headers,
    });
  };
}

// Google's grpc-web client makes its XMLHttpRequests itself; the next one to a given URL belongs to the exchange that waits for it.
const waiting: Exchange[] = [];
const tapped = new WeakMap<XMLHttpRequest, Exchange>();

/** Takes down the next XMLHttpRequest to `url`. */
export function expectXhr(exchange: Exchange, url: string): void {
  exchange.url = url;
  waiting.push(exchange);
}

export function installXhrTap(): void {
  const proto = XMLHttpRequest.prototype;
  const { open, setRequestHeader, send } = proto;
  proto.open = function (this: XMLHttpRequest, method: string, url: string | URL, ...rest: unknown[]): void {
    const at = waiting.findIndex((e) => e.url === String(url));
    const exchange = at < 0 ? undefined : waiting.splice(at, 1)[0];
    if (exchange) {
      exchange.method = method;
      tapped.set(this, exchange);
      this.addEventListener("readystatechange", () => note(this, exchange));
    }
    Reflect.apply(open, this, [method, url, ...(rest.length > 0 ? rest : [true])]);
  };
  proto.setRequestHeader = function (this: XMLHttpRequest, name: string, value: string): void {
    const exchange = tapped.get(this);
    if (exchange) exchange.requestHeaders = [...exchange.requestHeaders, [name.toLowerCase(), value]];
    Reflect.apply(setRequestHeader, this, [name, value]);
  };
  proto.send = function (this: XMLHttpRequest, body?: Document | XMLHttpRequestBodyInit | null): void {
    const exchange = tapped.get(this);
    if (exchange) {
      if (typeof body === "string") exchange.requestBody = utf8.encode(body);
      else if (body instanceof ArrayBuffer) exchange.requestBody = new Uint8Array(body.slice(0));
      else if (body instanceof Uint8Array) exchange.requestBody = new Uint8Array(body);
    }
    Reflect.apply(send, this, [body]);
  };
}

function note(xhr: XMLHttpRequest, exchange: Exchange): void {
  if (xhr.readyState < 2) return;
  exchange.httpStatus = xhr.status;
  exchange.responseHeaders = xhr
    .getAllResponseHeaders()
    .split("\r\n")
    .filter(Boolean)
    .map((line): Header => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    });
  if (xhr.readyState < 3) return;
  if (xhr.responseType === "" || xhr.responseType === "text") exchange.responseBody = utf8.encode(xhr.responseText);
  else if (xhr.response instanceof ArrayBuffer) exchange.responseBody = new Uint8Array(xhr.response.slice(0));
}
