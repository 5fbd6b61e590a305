// Streams of requests: all of them over WebSocket (the `grpc-websockets` subprotocol); over HTTP/2, what Chromium's
// fetch can, which reads the answer once its own side is closed.
import { assert, assertEqual, bytes, cancelled, failure, output, sizes, sleep, untilCancelled } from "./cases.js";
import { Echo, RouteGuide, Test } from "./schema.js";

const full = (traits) => traits.duplex === "full";
const SIZES = [[31415, 27182], [9, 8], [2653, 1828], [58979, 45904]];

async function* all(items) {
  yield* items;
}

/** An async iterable that a case feeds. */
class Feed {
  #items = [];
  #open = true;
  #wake = () => {};

  put(item) {
    this.#items.push(item);
    this.#wake();
  }

  end() {
    this.#open = false;
    this.#wake();
  }

  async *[Symbol.asyncIterator]() {
    while (true) {
      while (this.#items.length > 0) yield this.#items.shift();
      if (!this.#open) return;
      await new Promise((wake) => { this.#wake = wake; });
    }
  }
}

export const REQUEST_STREAMS = {
  client_streaming: async (c) => {
    const { message } = await c.duplex(Test.streamingInputCall, all(SIZES.map(([, size]) => ({ payload: { body: bytes(size) } }))));
    assertEqual(message.aggregatedPayloadSize, 74922, "sum");
  },
  client_streaming_of_nothing: async (c) => {
    const { message } = await c.duplex(Test.streamingInputCall, all([]));
    assertEqual(message.aggregatedPayloadSize, 0, "sum");
  },
  client_streaming_error: async (c) => {
    const headers = { "x-demo-status": "ABORTED", "x-demo-status-message": "no%20%E2%98%BA", "x-demo-status-details": "1" };
    const error = await failure(c.duplex(Echo.clientStreamingEcho, all([{ message: "a" }]), { headers }), 10, "no \u263a");
    assert(error.details.ErrorInfo, `details: ${Object.keys(error.details)}`);
  },
  half_duplex: async (c) => {
    const { messages } = await c.duplex(Test.halfDuplexCall, all(SIZES.map(([size, sent]) => output([[size]], { payload: { body: bytes(sent) } }))));
    assertEqual(sizes(messages), SIZES.map(([size]) => size), "lengths");
  },
  ping_pong: {
    when: full,
    run: async (c) => {
      const feed = new Feed();
      const sendNext = (count) => (count < SIZES.length
        ? feed.put(output([[SIZES[count][0]]], { payload: { body: bytes(SIZES[count][1]) } }))
        : feed.end());
      sendNext(0);
      const { messages } = await c.duplex(Test.fullDuplexCall, feed, { onMessage: (_, count) => { sendNext(count); } });
      assertEqual(sizes(messages), SIZES.map(([size]) => size), "lengths");
    },
  },
  empty_stream: {
    when: full,
    run: async (c) => {
      const { messages } = await c.duplex(Test.fullDuplexCall, all([]));
      assertEqual(messages.length, 0, "messages");
    },
  },
  metadata_of_a_bidi_stream: {
    when: full,
    run: async (c) => {
      const headers = { "x-echo-a": "one", "x-echo-b-bin": "AAEC/w==", "x-echo-trailer-a": "two", "x-echo-trailer-b-bin": "/wE=" };
      const out = await c.duplex(Echo.bidirectionalStreamingEcho, all([{ message: "hi" }]), { headers });
      assertEqual([out.headers["x-echo-a"], out.headers["x-echo-b-bin"]], ["one", "AAEC/w=="], "initial metadata");
      assertEqual([out.trailers["x-echo-trailer-a"], out.trailers["x-echo-trailer-b-bin"]], ["two", "/wE="], "trailing metadata");
    },
  },
  error_amid_a_bidi_stream: {
    when: full,
    run: async (c) => {
      const feed = new Feed();
      feed.put(output([[10]]));
      const onMessage = () => feed.put(output([], { responseStatus: { code: 11, message: "amid" } }));
      await failure(c.duplex(Test.fullDuplexCall, feed, { onMessage }), 11, "amid");
    },
  },
  // The upstream answers while the caller has not closed its side.
  upstream_ends_first: {
    when: full,
    run: async (c) => {
      const feed = new Feed();
      feed.put({ message: "a" });
      const { messages } = await c.duplex(Echo.bidirectionalStreamingEcho, feed, { headers: { "x-demo-stream-count": "1" } });
      assertEqual(messages.length, 1, "messages");
    },
  },
  thousand_messages_both_ways: {
    when: full,
    run: async (c) => {
      const texts = Array.from({ length: 1000 }, (_, n) => `message ${n}`);
      const { messages } = await c.duplex(Echo.bidirectionalStreamingEcho, all(texts.map((message) => ({ message }))));
      assertEqual(messages.map(({ message }) => message), texts, "texts");
    },
  },
  // 16 MiB each way, through windows and buffers that are far smaller.
  large_messages_both_ways: {
    when: full,
    run: async (c) => {
      const requests = Array.from({ length: 16 }, () => output([[1 << 20]], { payload: { body: bytes(1 << 20) } }));
      const { messages } = await c.duplex(Test.fullDuplexCall, all(requests));
      assertEqual(sizes(messages), requests.map(() => 1 << 20), "lengths");
    },
  },
  message_of_a_stream_too_large: {
    when: full,
    run: async (c) => {
      await failure(c.duplex(Test.streamingInputCall, all([{ payload: { body: bytes(5 << 20) } }])), 8);
    },
  },
  stream_to_an_upstream_that_is_down: {
    when: full,
    run: async (c) => {
      await failure(c.duplex(RouteGuide.routeChat, new Feed()), 14);
    },
  },
  deadline_of_an_idle_bidi_stream: {
    when: full,
    run: async (c) => {
      await failure(c.duplex(Test.fullDuplexCall, new Feed(), { headers: { "grpc-timeout": "300m" } }), 4);
    },
  },
  cancellation_of_a_bidi_stream: {
    when: full,
    alone: true,
    run: async (c) => {
      const before = await cancelled(c);
      const feed = new Feed();
      feed.put({ message: "hi" });
      await c.duplex(Echo.bidirectionalStreamingEcho, feed, { onMessage: () => true });
      await untilCancelled(c, before);
    },
  },
  cancellation_before_the_answer: {
    when: full,
    alone: true,
    run: async (c) => {
      const before = await cancelled(c);
      const abort = new AbortController();
      const call = c.duplex(Echo.clientStreamingEcho, new Feed(), { signal: abort.signal });
      await sleep(300);
      abort.abort();
      await failure(call, 4, "aborted");
      await untilCancelled(c, before);
    },
  },
};
