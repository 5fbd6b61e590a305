// A list of checks that runs to its end, says what failed, and closes with `N passed, N failed`.
const LIMIT_MS = 90_000;

export class Checks {
  constructor(suite) {
    this.suite = suite;
    this.passed = 0;
    this.failed = 0;
  }

  async run(name, check) {
    const start = performance.now();
    let timer;
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error("no end")), LIMIT_MS)));
    try {
      await Promise.race([check(), late]);
      this.passed += 1;
      console.log(`ok   ${this.suite}: ${name} (${Math.round(performance.now() - start)} ms)`);
    } catch (error) {
      this.failed += 1;
      console.log(`FAIL ${this.suite}: ${name}: ${String(error?.message ?? error).slice(0, 800)}`);
      const place = String(error?.stack ?? "").split("\n").filter((line) => /\.mjs:/.test(line));
      console.log(place.slice(0, 2).join("\n"));
    } finally {
      clearTimeout(timer);
    }
  }

  close() {
    console.log(`${this.suite}: ${this.passed} passed, ${this.failed} failed`);
    process.exit(this.failed > 0 || this.passed === 0 ? 1 : 0);
  }
}
