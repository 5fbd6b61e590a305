import "./style.css";
import { DIALECTS, GROUPS, type Dialect, type Group, type Inputs } from "./calls";
import { byId, el } from "./dom";
import { Panel, type Verdict } from "./panel";
import { installXhrTap } from "./tap";

installXhrTap();

const base = (new URLSearchParams(location.search).get("base") ?? location.origin).replace(/\/+$/, "");

const nameInput = el("input", { id: "in-name", type: "text", value: "Ada", maxlength: "60", autocomplete: "off", spellcheck: "false" });
const shelfInput = el(
  "select",
  { id: "in-shelf" },
  el("option", { value: "shelves/1" }, "1, Fiction"),
  el("option", { value: "shelves/2" }, "2, History"),
  el("option", { value: "shelves/3" }, "3, Science"),
);
const countInput = el("input", { id: "in-count", type: "number", value: "5", min: "1", max: "20" });

const CONTROLS: Partial<Record<Group["id"], HTMLElement>> = {
  hello: el("div", { class: "controls" }, el("label", { for: "in-name" }, "name"), nameInput),
  watch: el(
    "div",
    { class: "controls" },
    el("label", { for: "in-shelf" }, "shelf"),
    shelfInput,
    el("label", { for: "in-count" }, "events"),
    countInput,
  ),
};

function inputs(): Inputs {
  const count = Math.trunc(Number(countInput.value));
  return {
    name: nameInput.value.trim() || "Ada",
    shelf: shelfInput.value,
    count: count >= 1 && count <= 20 ? count : 5,
  };
}

// The fanlight: a pane for each protocol, lit while one of its calls is on the way and by how its last one ended.
const counts: Record<string, number> = {};
function pane(dialect: Dialect, state: Verdict): void {
  for (const glass of document.querySelectorAll<SVGElement | HTMLElement>(`[data-pane="${dialect}"]`)) {
    const running = (counts[dialect] ?? 0) > 0;
    glass.dataset.state = running ? "running" : glass.dataset.state === "failed" && state === "ok" ? "failed" : state;
  }
}

const announce = byId("announce", HTMLElement);

async function run(panel: Panel, open: boolean): Promise<Verdict> {
  const { dialect } = panel.call;
  if (open) panel.open(true);
  counts[dialect] = (counts[dialect] ?? 0) + 1;
  pane(dialect, "running");
  let verdict: Verdict = "failed";
  try {
    const done = await panel.run(base, inputs());
    verdict = done.verdict;
    if (open) announce.textContent = done.told;
  } finally {
    counts[dialect] -= 1;
    pane(dialect, verdict);
  }
  return verdict;
}

const panels = new Map<Group, Panel[]>();
const list = byId("calls", HTMLElement);
for (const group of GROUPS) {
  const mine = group.calls.map((call) => {
    const panel: Panel = new Panel(call, group.id === "watch", () => void run(panel, true));
    return panel;
  });
  panels.set(group, mine);
  const controls = CONTROLS[group.id];
  list.append(
    el(
      "section",
      { class: "group", id: group.id, "aria-labelledby": `title-${group.id}` },
      el(
        "header",
        {},
        el("div", {}, el("h2", { id: `title-${group.id}` }, group.title), el("code", { class: "method" }, group.method), el("p", {}, group.text)),
        ...(controls ? [controls] : []),
      ),
      el("div", { class: "calls" }, ...mine.map((p) => p.element)),
    ),
  );
}

const summary = byId("summary", HTMLElement);
const total = [...panels.values()].flat().length;
function summarize(state: "idle" | "running" | "done", passed: number, failed: number): void {
  Object.assign(summary.dataset, { state, passed: String(passed), failed: String(failed), total: String(total) });
  const text =
    state === "idle"
      ? `${total} calls, ${Object.keys(DIALECTS).length} protocols, 1 port`
      : state === "running"
        ? `${passed + failed} of ${total}…`
        : failed === 0
          ? `all ${total} went as they should`
          : `${passed} went as they should, ${failed} did not`;
  summary.textContent = text;
  if (state === "done") announce.textContent = text;
}
summarize("idle", 0, 0);

const runAll = byId("run-all", HTMLButtonElement);
runAll.addEventListener("click", async () => {
  runAll.disabled = true;
  for (const glass of document.querySelectorAll<HTMLElement | SVGElement>("[data-pane]")) glass.dataset.state = "idle";
  let passed = 0;
  let failed = 0;
  summarize("running", 0, 0);
  const one = async (panel: Panel) => {
    if ((await run(panel, false)) === "ok") passed += 1;
    else failed += 1;
    summarize("running", passed, failed);
  };
  for (const [group, mine] of panels) {
    if (group.together) await Promise.all(mine.map(one));
    else for (const panel of mine) await one(panel);
  }
  summarize("done", passed, failed);
  runAll.disabled = false;
});

byId("origin", HTMLElement).textContent = base;

// Light or dark: as the system says, until the visitor says otherwise.
const theme = byId("theme", HTMLButtonElement);
const dark = matchMedia("(prefers-color-scheme: dark)");
const remembered = (): string | null => {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null;
  }
};
function applyTheme(choice: string | null): void {
  const isDark = choice ? choice === "dark" : dark.matches;
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
  theme.setAttribute("aria-pressed", String(isDark));
}
applyTheme(remembered());
dark.addEventListener("change", () => applyTheme(remembered()));
theme.addEventListener("click", () => {
  const choice = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("theme", choice);
  } catch {
    // A page that may not remember still switches.
  }
  applyTheme(choice);
});

byId("shell", HTMLElement).textContent = [
  `curl ${base}/v1/greeter/Ada`,
  `curl ${base}/helloworld.Greeter/SayHello --json '{"name": "Ada"}'`,
  `curl -N ${base}/v1/shelves/1/books:watch?count=5 -H 'accept: application/x-ndjson'`,
  `buf curl --schema protos --protocol grpc --http2-prior-knowledge ${base}/helloworld.Greeter/SayHello -d '{"name": "Ada"}'`,
].join("\n");
