// Runs in the page: every client library against one edge. run.mjs bundles it and calls `runAll`.
import { DENIED, EDGE, PUBLISHED } from "./cases.js";
import { CLIENTS } from "./clients.js";
import { EVENT_SOURCE } from "./events.js";
import { REQUEST_STREAMS } from "./request_streams.js";

const LIMIT_MS = 20_000;
/** Clients at work at once. Chromium opens six HTTP/1.1 connections to a host, and a stream holds one. */
const AT_ONCE = 3;

async function attempt(client, { name: test, run }, target) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`no end in ${LIMIT_MS} ms`)), LIMIT_MS)));
  const start = performance.now();
  let why = "";
  try {
    await Promise.race([run(client.make(target), client), late]);
  } catch (error) {
    why = String(error?.message ?? error).slice(0, 300) || "failed";
  } finally {
    clearTimeout(timer);
  }
  return { client: client.name, test, published: test in PUBLISHED, ok: why === "", why, ms: Math.round(performance.now() - start) };
}

/** The cases that this client has on this target, those that run alone apart. */
function plan(client, target) {
  const lists = client.cases ? [client.cases(target)] : target.denied ? [DENIED] : [PUBLISHED, EDGE];
  if (!target.denied && (client.duplex === "full" || (client.duplex === "h2" && target.http2))) lists.push(REQUEST_STREAMS);
  const cases = lists.flatMap((list) => Object.entries(list)).map(([name, it]) => ({ name, ...(typeof it === "function" ? { run: it } : it) }));
  return cases
    .filter(({ name, when }) => (!when || when(client)) && (!target.case || name.includes(target.case)))
    .map((it) => ({ ...it, alone: typeof it.alone === "function" ? it.alone(client) : it.alone }));
}

/**
 * `target`: `base` (the edge), `http2`, `webSocket` (whether the edge has it), `credentials`, `denied` (the page's
 * origin is not allowed), `client` and `case` (only those whose name has this in it).
 */
export async function runAll(target) {
  const clients = [...CLIENTS, EVENT_SOURCE].filter(({ name, webSocket }) => (!webSocket || target.webSocket) && (!target.client || name.includes(target.client)));
  const results = [];
  const run = async (client, it) => results.push(await attempt(client, it, target));
  const waiting = [...clients];
  const worker = async () => {
    for (let client = waiting.shift(); client; client = waiting.shift()) {
      for (const it of plan(client, target).filter(({ alone }) => !alone)) await run(client, it);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  for (const client of clients) {
    for (const it of plan(client, target).filter(({ alone }) => alone)) await run(client, it);
  }
  return results;
}

globalThis.runAll = runAll;
