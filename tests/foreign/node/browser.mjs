// The demo's page in Chromium, with the clients that browsers really have: grpc-web, connect-web and fetch.
//
//     CHROMIUM=/usr/bin/chromium node browser.mjs --page http://ADDR --cross-origin https://ADDR --screenshots DIR
//
// The page comes from the edge at --page and calls that edge; then it calls the edge at --cross-origin, which is another
// origin, over TLS. Screenshots stay in DIR: light, dark, and narrow.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { Checks } from "./checks.mjs";

const text = { type: "string" };
const { values: args } = parseArgs({ options: { page: text, "cross-origin": text, screenshots: text } });
mkdirSync(args.screenshots, { recursive: true });
const profile = mkdtempSync(join(tmpdir(), "transom-browser-"));

const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  headless: true,
  ignoreHTTPSErrors: true,
  viewport: { width: 1280, height: 900 },
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});

/** Opens the page, and notes what it complains about. */
async function open(url, scheme = "light", size = { width: 1280, height: 900 }) {
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    // a status of 400 and above is an error to the console; the page asks for some of them
    if (message.type() === "error" && !/status of [45]\d\d/.test(message.text())) complaints.push(message.text());
  });
  await page.emulateMedia({ colorScheme: scheme });
  await page.setViewportSize(size);
  const answer = await page.goto(url);
  assert.equal(answer.status(), 200);
  return { page, complaints };
}

/** Runs all calls of the page, and gives what did not pass. */
async function runAll(page) {
  await page.locator("[data-run-all]").click();
  await page.waitForSelector('[data-summary][data-state="done"]', { timeout: 60_000 });
  const summary = await page.locator("[data-summary]").evaluate((node) => ({ ...node.dataset }));
  const panels = await page.locator("[data-result]").evaluateAll((nodes) =>
    nodes.map((node) => ({ ...node.dataset, verdict: node.querySelector("[data-verdict]")?.textContent ?? "" })),
  );
  return { summary, panels };
}

function allPassed({ summary, panels }) {
  const failed = panels.filter((panel) => panel.status !== "ok");
  const why = failed.map((panel) => `${panel.result}: ${panel.status} ${panel.code ?? ""} ${panel.verdict}`).join("; ");
  assert.equal(failed.length, 0, why);
  assert.equal(summary.failed, "0");
  assert.equal(Number(summary.passed), panels.length);
  assert.ok(panels.length >= 20, `${panels.length} calls`);
}

/** The messages of these streams came one after another. */
async function streamsFlow(page) {
  for (const id of ["watch-grpc-web-text", "watch-grpc-web-binary", "watch-connect-json", "watch-rest"]) {
    const times = await page.locator(`[data-result="${id}"] [data-message]`).evaluateAll((nodes) => nodes.map((node) => Number(node.dataset.at)));
    assert.ok(times.length >= 3, `${id}: ${times.length} messages`);
    const gaps = times.slice(1).map((time, n) => time - times[n]);
    assert.ok(gaps.every((gap) => gap > 100), `${id}: gaps of ${gaps} ms where the upstream waits 300`);
  }
}

async function detailsShow(page) {
  for (const id of ["error-grpc-web-text", "error-grpc-web-binary", "error-connect-json", "error-connect-binary", "error-rest"]) {
    const panel = page.locator(`[data-result="${id}"]`);
    assert.equal(await panel.getAttribute("data-code"), "NOT_FOUND", id);
    const shown = await panel.locator("[data-detail]").evaluateAll((nodes) => nodes.map((node) => node.dataset.detail));
    for (const type of ["google.rpc.ErrorInfo", "google.rpc.ResourceInfo"]) {
      assert.ok(shown.some((url) => url.endsWith(type)), `${id}: no ${type} among ${shown}`);
    }
  }
}

async function fits(page) {
  const [content, window] = await page.evaluate(() => [document.scrollingElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `${content} px of page in a window of ${window} px`);
}

const shot = (page, name) => page.screenshot({ path: join(args.screenshots, `${name}.png`), fullPage: true });

const checks = new Checks("browser");
let first;
await checks.run("the page loads from the edge", async () => {
  first = await open(args.page);
  assert.equal(await first.page.title(), "Transom");
});
if (first) {
  const { page, complaints } = first;
  await checks.run("all calls of the page, same origin", async () => allPassed(await runAll(page)));
  await checks.run("streams arrive message by message", () => streamsFlow(page));
  await checks.run("errors show their details", () => detailsShow(page));
  await checks.run("nothing to complain about in the console", async () => assert.deepEqual(complaints, []));
  await checks.run("light", async () => { await fits(page); await shot(page, "demo-light"); });
  await page.close();
}
for (const [name, scheme, size] of [
  ["dark", "dark", { width: 1280, height: 900 }],
  ["narrow", "light", { width: 390, height: 844 }],
]) {
  await checks.run(name, async () => {
    const { page } = await open(args.page, scheme, size);
    allPassed(await runAll(page));
    await fits(page);
    await shot(page, `demo-${name}`);
    await page.close();
  });
}
if (args["cross-origin"]) {
  await checks.run("all calls of the page, another origin, TLS", async () => {
    const { page, complaints } = await open(`${args.page}/?base=${args["cross-origin"]}`);
    allPassed(await runAll(page));
    await streamsFlow(page);
    await detailsShow(page);
    assert.deepEqual(complaints, []);
    await page.close();
  });
}
await context.close();
rmSync(profile, { recursive: true, force: true });
checks.close();
