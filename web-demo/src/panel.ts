// One call on the page: its row, and under it what went over the wire.
import { DIALECTS, type Call, type Inputs } from "./calls";
import type { Arrival, Outcome } from "./clients";
import { el } from "./dom";
import { statusName } from "./proto";
import { Exchange, type Header } from "./tap";
import { describeBody } from "./wire";

export type Verdict = "idle" | "running" | "ok" | "failed";

const ms = (n: number) => (n < 10 ? n.toFixed(1) : String(Math.round(n)));

const PATIENCE_MS = 30_000;

/** The outcome of a call that its client library left without one. */
function gaveUp(code: number, text: string): Outcome {
  return { code, text, details: [], trailers: [], messages: [], ms: 0, exchange: new Exchange() };
}

function late(): Promise<Outcome> {
  return new Promise((resolve) => {
    setTimeout(() => resolve({ ...gaveUp(4, "no answer in 30 s"), ms: PATIENCE_MS }), PATIENCE_MS);
  });
}

export class Panel {
  readonly element: HTMLElement;
  private readonly runButton: HTMLButtonElement;
  private readonly toggle: HTMLButtonElement;
  private readonly result: HTMLElement;
  private readonly status: HTMLElement;
  private readonly time: HTMLElement;
  private readonly track: HTMLElement;
  private readonly messages: HTMLOListElement;
  private readonly name: string;
  private span = 0;

  constructor(
    readonly call: Call,
    private readonly streams: boolean,
    onRun: () => void,
  ) {
    this.name = call.label ?? DIALECTS[call.dialect];
    const label = `${this.name} by ${call.client}: ${call.note}`;
    this.runButton = el("button", { class: "run", type: "button", "data-call": call.id, "aria-label": `Run ${label}` }, "Run");
    this.runButton.addEventListener("click", onRun);
    this.toggle = el(
      "button",
      { class: "toggle", type: "button", "aria-expanded": "false", "aria-controls": `result-${call.id}`, disabled: true },
      el("span", { class: "dialect" }, this.name),
      el("span", { class: "who" }, el("b", {}, call.client), ` ${call.note}`),
    );
    this.toggle.addEventListener("click", () => this.open(this.result.hidden !== false));
    this.track = el("span", { class: "track", "aria-hidden": "true" });
    this.status = el("span", { class: "status" });
    this.time = el("span", { class: "time" });
    this.messages = el("ol", { class: "messages" });
    this.result = el("div", { class: "result", id: `result-${call.id}`, "data-result": call.id, "data-status": "idle", hidden: true });
    this.element = el(
      "article",
      { class: `call${streams ? " streams" : ""}`, "data-dialect": call.dialect, "data-state": "idle" },
      el("div", { class: "row" }, this.toggle, ...(streams ? [this.track] : []), this.status, this.time, this.runButton),
      this.result,
    );
  }

  open(yes: boolean): void {
    this.result.hidden = !yes;
    this.toggle.setAttribute("aria-expanded", String(yes));
  }

  /** Makes the call, shows it as it goes, and says whether it went as it should. */
  async run(base: string, inputs: Inputs): Promise<{ verdict: Verdict; told: string }> {
    this.begin(inputs);
    const running = this.call.run(base, inputs, { arrived: (a) => this.arrived(a) });
    const outcome = await Promise.race([running.catch((e: unknown) => gaveUp(2, String(e))), late()]);
    const wrong = this.call.verdict(outcome, inputs);
    this.end(outcome, wrong);
    const code = statusName(outcome.code);
    const told = `${this.name} by ${this.call.client}: ${code} in ${ms(outcome.ms)} ms${wrong ? `, but ${wrong}` : ""}`;
    return { verdict: wrong ? "failed" : "ok", told };
  }

  private begin(inputs: Inputs): void {
    this.runButton.disabled = true;
    this.toggle.disabled = false;
    this.span = Math.max(400, inputs.count * 310 - 290);
    this.track.replaceChildren();
    this.messages.replaceChildren();
    this.result.replaceChildren(section("Messages", this.messages));
    for (const key of ["code", "http", "messages", "ms"]) delete this.result.dataset[key];
    this.set("running", "running…");
    this.time.textContent = "";
  }

  private arrived({ at, message }: Arrival): void {
    const n = this.messages.childElementCount + 1;
    this.result.dataset.messages = String(n);
    this.messages.append(
      el(
        "li",
        { "data-message": String(n), "data-at": at.toFixed(1) },
        el("span", { class: "at" }, `+${ms(at)} ms`),
        el("pre", {}, typeof message === "string" ? message : JSON.stringify(message, null, this.streams ? 0 : 2)),
      ),
    );
    if (at > this.span) {
      const squeeze = this.span / at;
      for (const tick of this.track.children) {
        if (tick instanceof HTMLElement) tick.style.left = `${Number.parseFloat(tick.style.left) * squeeze}%`;
      }
      this.span = at;
    }
    const tick = el("i");
    tick.style.left = `${(at / this.span) * 100}%`;
    this.track.append(tick);
  }

  private end(outcome: Outcome, wrong: string | undefined): void {
    const code = statusName(outcome.code);
    const { exchange } = outcome;
    Object.assign(this.result.dataset, {
      code,
      http: String(exchange.httpStatus),
      messages: String(outcome.messages.length),
      ms: outcome.ms.toFixed(1),
    });
    this.set(wrong ? "failed" : "ok", code);
    this.time.textContent = `${ms(outcome.ms)} ms`;
    this.runButton.disabled = false;
    this.runButton.textContent = "Again";

    const verdict = wrong
      ? el("p", { class: "verdict", "data-verdict": "failed" }, `Not what it should be: ${wrong}.`)
      : el("p", { class: "verdict", "data-verdict": "ok" }, outcome.code === 0 ? "As it should be." : "Refused, as it should be.");
    const request = el(
      "section",
      { class: "side" },
      el("h4", {}, "Request"),
      el("p", { class: "line" }, el("b", {}, exchange.method), ` ${exchange.url ? exchange.path : ""}`),
      headers(exchange.requestHeaders),
      ...body(exchange.requestBody, exchange.requestType),
    );
    const response = el(
      "section",
      { class: "side" },
      el("h4", {}, "Response"),
      el("p", { class: "line" }, el("b", {}, exchange.httpStatus ? `HTTP ${exchange.httpStatus}` : "no answer")),
      headers(exchange.responseHeaders),
      ...body(exchange.responseBody, exchange.contentType),
    );
    const status = el(
      "p",
      { class: "line" },
      el("b", {}, `${outcome.code} ${code}`),
      outcome.text ? ` ${outcome.text}` : "",
    );
    this.result.replaceChildren(
      verdict,
      ...(outcome.messages.length > 0 ? [section(outcome.messages.length > 1 ? "Messages, as they came" : "Message", this.messages)] : []),
      section("Status", status, ...outcome.details.map((d) => el("pre", { "data-detail": d["@type"] }, JSON.stringify(d, null, 2)))),
      ...(outcome.trailers.length > 0 ? [section("Trailers", headers(outcome.trailers))] : []),
      el("div", { class: "sides" }, request, response),
    );
  }

  private set(verdict: Verdict, text: string): void {
    this.result.dataset.status = verdict;
    this.element.dataset.state = verdict;
    this.status.textContent = text;
  }
}

function section(title: string, ...children: (Node | string)[]): HTMLElement {
  return el("section", {}, el("h4", {}, title), ...children);
}

function headers(list: Header[]): HTMLElement {
  if (list.length === 0) return el("p", { class: "none" }, "no headers set by the page");
  const rows = list.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  return el("dl", { class: "headers" }, ...rows);
}

function body(bytes: Uint8Array, contentType: string): HTMLElement[] {
  if (bytes.length === 0) return [el("p", { class: "none" }, "no body")];
  const { text, isText, frames } = describeBody(bytes, contentType);
  return [
    ...(frames.length > 0 ? [el("pre", { class: "frames", "aria-label": "Frames of the body" }, frames.join("\n"))] : []),
    el("details", { open: frames.length === 0 }, el("summary", {}, `body, ${bytes.length} bytes`), el("pre", { class: "body", tabindex: "0", "data-kind": isText ? "text" : "bytes" }, text)),
  ];
}
