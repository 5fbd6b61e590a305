// The browser's own EventSource on a server stream by the template of its rule: what it hands on, when it comes again and
// with what, and when it does not.
//
// Of the edge's configuration (edge.yaml): ids are `sequence`, and `Last-Event-ID` fills `after`; readers are to wait for
// 200 ms; a stream may take two seconds.
import { assert, assertEqual } from "./cases.js";

const WATCH = "/v1/shelves/1/books:watch";

/** What an EventSource has told up to the moment at which `enough` says so of it. */
function listen(target, path, enough) {
  const source = new EventSource(target.base + path, { withCredentials: !!target.credentials });
  const told = { opens: 0, messages: [], ends: 0, failures: [], states: [] };
  return new Promise((resolve) => {
    const look = () => {
      if (!enough(told)) return;
      source.close();
      resolve(told);
    };
    source.addEventListener("open", () => ((told.opens += 1), look()));
    source.addEventListener("message", ({ data, lastEventId }) => (told.messages.push({ id: lastEventId, ...JSON.parse(data) }), look()));
    source.addEventListener("end", ({ data }) => ((told.ends += 1), assertEqual(data, "{}", "the end's data"), look()));
    source.addEventListener("error", (event) => {
      // the stream's own event has data, the browser's has not
      if (event.data !== undefined) told.failures.push(JSON.parse(event.data));
      else told.states.push(source.readyState);
      look();
    });
  });
}

const ids = ({ messages }) => messages.map(({ id }) => id);

const CASES = {
  messages_have_ids_and_an_end: async (target) => {
    const told = await listen(target, `${WATCH}?count=3`, ({ ends, states }) => ends > 0 || states.length > 0);
    assertEqual([told.opens, ids(told), told.ends, told.states], [1, ["1", "2", "3"], 1, []], "told");
    assertEqual(told.messages.map(({ sequence }) => sequence), ["1", "2", "3"], "sequences");
    assert(told.messages.every(({ book }) => book.name.startsWith("shelves/1/books/")), "books");
  },

  // A page that does not close at the end is connected again, behind what it has seen.
  comes_again_with_the_last_id: async (target) => {
    const start = performance.now();
    const told = await listen(target, `${WATCH}?count=2`, ({ messages }) => messages.length >= 6);
    assertEqual(ids(told), ["1", "2", "3", "4", "5", "6"], "ids over three connections");
    assertEqual([told.opens, told.ends, told.states], [3, 2, [EventSource.CONNECTING, EventSource.CONNECTING]], "told");
    // three times 300 ms of events, and twice 200 ms of waiting; browsers wait for seconds unless they are told
    const took = performance.now() - start;
    assert(took > 1200 && took < 5000, `took ${Math.round(took)} ms`);
  },

  a_failing_stream_is_an_error_event: async (target) => {
    const told = await listen(target, `${WATCH}?count=100`, ({ failures, ends }) => failures.length > 0 || ends > 0);
    assertEqual([told.ends, told.failures[0].code, told.failures[0].details[0].reason], [0, 4, "DEADLINE"], "the status");
    assert(told.messages.length >= 3, `${told.messages.length} messages before`);
  },

  a_refusal_is_final: async (target) => {
    const told = await listen(target, "/v1/shelves/404/books:watch", ({ states }) => states.length > 0);
    assertEqual([told.opens, told.messages, told.states], [0, [], [EventSource.CLOSED]], "told");
  },
};

const DENIED = {
  a_page_of_another_origin_hears_nothing: async (target) => {
    const told = await listen(target, `${WATCH}?count=1`, ({ messages, states }) => messages.length + states.length > 0);
    assertEqual([told.opens, told.messages, told.states], [0, [], [EventSource.CLOSED]], "told");
  },
};

/** A client like those of clients.js, with cases of its own. */
export const EVENT_SOURCE = { name: "EventSource", make: (target) => target, cases: (target) => (target.denied ? DENIED : CASES) };
