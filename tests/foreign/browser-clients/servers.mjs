// Processes that a suite starts: each says `listening on HOST:PORT` when it is ready, and is told to stop by SIGTERM.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const READY_MS = 20_000;
const STOP_MS = 20_000;

export class Servers {
  #running = [];

  constructor() {
    // whatever happens to this process, nothing of it stays behind
    process.on("exit", () => this.#running.forEach(({ child }) => child.kill("SIGKILL")));
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
  }

  /** Starts a server, and gives its address and its log. */
  async start(name, log, command, args, env = {}) {
    const file = openSync(log, "w");
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", file, file] });
    closeSync(file);
    let failed;
    child.once("error", (error) => (failed = error));
    this.#running.push({ name, child });
    for (const end = Date.now() + READY_MS; Date.now() < end; await sleep(25)) {
      const text = readFileSync(log, "utf8");
      const address = /^listening on (\S+)\r?\n/m.exec(text)?.[1];
      if (address) return { address, log };
      if (failed || child.exitCode !== null) break;
    }
    throw new Error(`${name} does not listen: ${failed ?? readFileSync(log, "utf8").slice(-2000)}`);
  }

  /** Stops all of them; the names of those of `clean` that did not end by themselves with exit code 0. */
  async stop(clean) {
    const ended = this.#running.map(async ({ name, child }) => {
      if (child.exitCode === null && child.signalCode === null) {
        const exit = once(child, "exit");
        child.kill("SIGTERM");
        await Promise.race([exit, sleep(STOP_MS)]);
      }
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      return child.exitCode === 0 || !clean.includes(name) ? [] : [`${name}: exit code ${child.exitCode ?? "none"}`];
    });
    const unclean = (await Promise.all(ended)).flat();
    this.#running = [];
    return unclean;
  }
}
