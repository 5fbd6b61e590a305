// Browser client libraries in headless Chromium, from a page of another origin than the edge, so that every preflight is
// real: over HTTP/1.1 in clear text, over HTTP/2 by TLS with credentials, from an origin that is not allowed, and with each
// content coding that a browser offers (--compression).
// run.sh prepares what it needs.
//
//     node run.mjs --transom FILE --python FILE --suite DIR --work DIR --cert FILE --key FILE
//                  [--websocket] [--compression] [--client NAME] [--case NAME]
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { Servers } from "./servers.mjs";

const text = { type: "string" };
const flag = { type: "boolean", default: false };
const { values: args } = parseArgs({
  options: { transom: text, python: text, suite: text, work: text, cert: text, key: text, websocket: flag, compression: flag, client: text, case: text },
});
const protos = join(args.suite, "../../../protos");
const interop = join(args.suite, "protos");

/** The page's script, with the descriptors of the services it calls. */
async function bundle() {
  const set = join(args.work, "set.bin");
  execFileSync(args.python, ["-m", "grpc_tools.protoc", "-I", interop, "-I", protos, "--include_imports", "-o", set, "grpc/testing/test.proto",
    "echo.proto", "bookstore.proto", "route_guide.proto", "helloworld.proto", "google/rpc/status.proto", "google/rpc/error_details.proto"]);
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, "page.js")],
    bundle: true,
    write: false,
    format: "esm",
    logLevel: "error",
    define: { DESCRIPTOR_SET: JSON.stringify(readFileSync(set, "base64")) },
  });
  return outputFiles[0].text;
}

async function servePage(script) {
  const server = createServer((request, answer) => {
    const js = request.url === "/page.js";
    answer.setHeader("content-type", js ? "text/javascript; charset=utf-8" : "text/html; charset=utf-8");
    answer.end(js ? script : '<!doctype html><meta charset="utf-8"><title>clients</title><script type="module" src="/page.js"></script>');
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function startServers(servers, page) {
  const log = (name) => join(args.work, `${name}.log`);
  const upstream = await servers.start("interop", log("interop"), args.python, [join(args.suite, "../interop/c_core.py"), "--protos", interop, "server"]);
  const demo = await servers.start("demo", log("demo"), args.transom, ["demo", "--listen", "127.0.0.1:0"]);
  const config = /Configuration: (\S+)/.exec(readFileSync(demo.log, "utf8"))?.[1];
  const env = (credentials) => ({
    INTEROP: `h2c://${upstream.address}`,
    DEMO: /h2c:\/\/127\.0\.0\.1:\d+/g.exec(readFileSync(config, "utf8").replace(/^#.*$/gm, ""))[0],
    // port 9 of loopback (discard): nobody listens there
    DOWN: "h2c://127.0.0.1:9",
    PAGE: page,
    CREDENTIALS: String(credentials),
  });
  const edge = (name, credentials, more) => servers.start(name, log(name), args.transom, ["serve", join(args.suite, "edge.yaml"), ...more], env(credentials));
  const clear = await edge("clear", false, []);
  const tls = await edge("tls", true, ["--listen", "127.0.0.1:0", "--tls-cert", args.cert, "--tls-key", args.key]);
  return { clear: `http://${clear.address}`, tls: `https://${tls.address}` };
}

/** What the browser did on the wire: preflights, HTTP versions, content codings. */
class Wire {
  preflights = 0;
  refusedPreflights = 0;
  versions = new Map();
  codings = new Map();
  /** HTTP codes of WebSocket handshakes: 101 of HTTP/1.1, 200 of HTTP/2's extended CONNECT (RFC 8441). */
  webSockets = new Map();
  /** Requests to the edge that are under way, by their id: the HTTP method. */
  #methods = new Map();

  /** `coding`: the only content coding that the browser then offers; without it, all that it has. */
  async watch(page, base, coding) {
    const session = await page.context().newCDPSession(page);
    session.on("Network.requestWillBeSent", ({ requestId, request }) => {
      if (request.url.startsWith(base)) this.#methods.set(requestId, request.method);
    });
    session.on("Network.responseReceived", ({ requestId, response }) => this.#answered(this.#methods.get(requestId), response));
    session.on("Network.webSocketHandshakeResponseReceived", ({ response }) => this.#count(this.webSockets, response.status));
    await session.send("Network.enable");
    if (coding) await session.send("Network.setExtraHTTPHeaders", { headers: { "accept-encoding": coding } });
  }

  #answered(method, { status, protocol, headers }) {
    if (!method) return;
    // no library asks by OPTIONS: these are the browser's own
    if (method === "OPTIONS") {
      this.preflights += 1;
      if (status !== 204) this.refusedPreflights += 1;
    }
    this.#count(this.versions, protocol);
    const coding = Object.entries(headers).find(([name]) => name.toLowerCase() === "content-encoding")?.[1];
    if (coding) this.#count(this.codings, coding);
  }

  #count(map, key) {
    map.set(key, (map.get(key) ?? 0) + 1);
  }
}

async function runTarget(context, url, target) {
  const page = await context.newPage();
  page.on("pageerror", (error) => console.error(`page: ${error.message}`));
  const wire = new Wire();
  await wire.watch(page, target.base, target.coding);
  await page.goto(url);
  await page.waitForFunction(() => !!globalThis.runAll);
  const results = await page.evaluate((target) => globalThis.runAll(target), target);
  await page.close();
  return { results, wire };
}

/** What the whole of a target has to show, beside its calls. */
function wireChecks(name, target, { wire }) {
  const check = (test, ok, why) => ({ client: "Chromium", test: `${test} (${name})`, ok, why });
  if (args.client || args.case) return [];
  if (target.coding) {
    const used = [...wire.codings.keys()].join(", ");
    return [check("answers have the content coding that was offered", used === target.coding, `codings: ${used || "none"}`)];
  }
  const versions = [...wire.versions.keys()].join(", ");
  const list = (map) => [...map].map(([key, count]) => `${key} ${count}`).join(", ") || "none";
  console.log(`${name}: ${wire.preflights} preflights, ${versions || "no answers"}, content codings: ${list(wire.codings)}, WebSockets: ${list(wire.webSockets)}`);
  const checks = [check("preflights were asked, and each got its 204", wire.preflights > 0 && wire.refusedPreflights === 0, `${wire.preflights}, ${wire.refusedPreflights} refused`)];
  if (target.denied) return checks;
  const wanted = target.http2 ? "h2" : "http/1.1";
  checks.push(check(`every answer came by ${wanted}`, versions === wanted, versions));
  const upgrade = target.http2 ? "200" : "101";
  const handshakes = [...wire.webSockets.keys()].join(", ");
  if (args.websocket) checks.push(check(`every WebSocket was opened with ${upgrade}`, handshakes === upgrade, handshakes));
  if (args.compression) checks.push(check("some answers were compressed on the wire", wire.codings.size > 0, "none was"));
  return checks;
}

/** `client: case  # reason` by line. */
function expectedFailures() {
  const lines = readFileSync(join(args.suite, "expected-failures.txt"), "utf8").split("\n");
  return new Set(lines.map((line) => line.replace(/#.*/, "").trim()).filter(Boolean));
}

const servers = new Servers();
const profile = mkdtempSync(join(args.work, "profile-"));
const page = await servePage(await bundle());
const { port } = page.address();
const origin = `http://127.0.0.1:${port}`;
const edges = await startServers(servers, origin);
const only = { client: args.client, case: args.case, webSocket: args.websocket };
const targets = [
  ["clear", `${origin}/`, { ...only, base: edges.clear }],
  ["tls", `${origin}/`, { ...only, base: edges.tls, http2: true, credentials: true }],
  // the same page under another name is another origin
  ["denied", `http://localhost:${port}/`, { ...only, base: edges.clear, denied: true }],
];
if (args.compression && !args.client && !args.case) {
  for (const coding of ["gzip", "deflate", "br", "zstd"]) {
    targets.push([coding, `${origin}/`, { base: edges.tls, credentials: true, coding, client: "connect-web, connect", case: "head_as_long" }]);
  }
}
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  headless: true,
  ignoreHTTPSErrors: true,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});

const results = [];
for (const [name, url, target] of targets) {
  const outcome = await runTarget(context, url, target);
  results.push(...[...outcome.results, ...wireChecks(name, target, outcome)].map((result) => ({ ...result, target: name })));
}
await context.close();
page.close();
for (const why of await servers.stop(["demo", "clear", "tls"])) {
  results.push({ client: "edge", test: "ends with exit code 0 after SIGTERM", target: "drain", ok: false, why });
}
rmSync(profile, { recursive: true, force: true });
writeFileSync(join(args.work, "results.json"), JSON.stringify(results, null, 1));

const expected = expectedFailures();
const tally = new Map();
let [passed, failed, known] = [0, 0, 0];
for (const { client, test, target, ok, why } of results) {
  const counts = tally.get(client) ?? tally.set(client, [0, 0]).get(client);
  counts[ok ? 0 : 1] += 1;
  const isKnown = expected.has(`${client}: ${test}`);
  if (ok && !isKnown) {
    passed += 1;
  } else if (!ok && isKnown) {
    known += 1;
  } else {
    failed += 1;
    console.log(`FAIL ${target}: ${client}: ${test}: ${ok ? "passes, but is listed as an expected failure" : why}`);
  }
}
for (const [name] of targets) {
  const published = results.filter((result) => result.published && result.target === name);
  if (published.length > 0) console.log(`${name}: ${published.filter(({ ok }) => ok).length} of ${published.length} published cases`);
}
for (const [client, [right, wrong]] of tally) console.log(`${client}: ${right} of ${right + wrong}`);
if (known > 0) console.log(`${known} expected failures (expected-failures.txt)`);
console.log(`browser-clients: ${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
