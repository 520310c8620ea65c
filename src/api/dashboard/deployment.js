// One deployment, live: its steps, its log, and what can be done to it.

import { follow, get } from "./api.js";
import { announce, h, show } from "./dom.js";
import { MARKS, STATES, STEPS, clock, image, moment, short, standing, took } from "./words.js";

/** More lines than this are not kept on the page; `verdigris logs` has them all. */
const MOST_LINES = 5000;

/** Shows deployment `id` in `main` until `signal` aborts. */
export async function deploymentPage(main, id, { may, act, onState, signal }) {
  const page = new Page(await get(`/v1/deployments/${id}`), may, act);
  if (signal.aborted) return;
  show(main, page.parts());
  page.draw();
  const clockwork = setInterval(() => page.drawSteps(), 1000);
  signal.addEventListener("abort", () => clearInterval(clockwork));
  await follow(`/v1/deployments/${id}/events`, {
    signal,
    onState,
    onEvent: (event) => page.add(event),
  });
  clearInterval(clockwork);
}

class Page {
  constructor(view, may, act) {
    Object.assign(this, { view, may, act, steps: new Map(), waiting: false, fresh: null });
    this.head = h("div", { class: "page-head" });
    this.facts = h("section", { class: "card", "aria-label": "Facts" });
    this.notices = h("div", { class: "stack" });
    this.list = h("ol", { class: "steps" });
    this.log = h("div", { class: "log", role: "log", tabindex: "0", "aria-label": "Log", "data-key": "log" });
  }

  parts() {
    return h("div", { class: "stack" },
      this.head, this.notices, this.facts,
      h("div", { class: "deployment" },
        h("section", { class: "card", "aria-label": "Steps" }, this.list),
        this.log));
  }

  /** Returns true at the end. */
  add(event) {
    const what = event.what;
    this.fold(event);
    this.write(event);
    this.drawSteps();
    if (!["output", "note", "gate"].includes(what.what)) this.refresh();
    if (what.what === "ended") announce(`deployment ${standing({ outcome: what.outcome })[0]}`);
    return what.what === "ended";
  }

  fold({ step, at, what }) {
    if (["undoing", "ended"].includes(what.what)) this.stopAll(at);
    // That a step was met by what stops the deployment is no news of the step.
    if (!step || what.what === "stopped") return;
    const known = this.steps.get(step) ?? { state: "running", began: at, ended: null, note: "" };
    const states = { began: "running", done: "done", skipped: "skipped", failed: "failed", undoing: "undoing", undone: "undone", stuck: "stuck" };
    const state = states[what.what];
    if (state) known.state = state;
    if (["began", "failed"].includes(what.what)) known.note = "";
    if (what.what === "began") Object.assign(known, { began: at, ended: null });
    else if (state && state !== "undoing") known.ended ??= at;
    const note = what.text ?? what.note ?? what.why;
    if (note !== undefined && what.what !== "output") known.note = note;
    this.steps.set(step, known);
  }

  /** What is under way yet was stopped: nothing is undone before all steps have ended. */
  stopAll(at) {
    for (const known of this.steps.values()) {
      if (known.state === "running") Object.assign(known, { state: "stopped", ended: known.ended ?? at });
    }
  }

  /** Ask for the view again, once for many events. */
  refresh() {
    clearTimeout(this.fresh);
    this.fresh = setTimeout(async () => {
      try {
        this.view = await get(`/v1/deployments/${this.view.id}`);
        this.draw();
      } catch {
        // The stream says what is wrong with the connection.
      }
    }, 120);
  }

  draw() {
    this.drawHead();
    this.drawNotices();
    this.drawFacts();
    this.drawSteps();
  }

  drawHead() {
    const view = this.view;
    const [words, tone] = standing(view);
    const open = view.phase === "deploying" || view.phase === "waiting";
    const mayAbort = open && (this.may("deploy") || this.may("operate"));
    show(this.head,
      h("h1", {}, view.service),
      h("span", { class: "faint" }, `${view.kind} `, h("code", {}, short(view.id))),
      h("span", { class: `badge ${tone}`, id: "outcome" }, words),
      h("span", { class: "grow" }),
      mayAbort && h("button", { type: "button", class: "danger", "data-key": "abort", onclick: () => this.act.abort(view) }, "Abort"),
      view.outcome?.end === "stuck" && this.may("operate") &&
        h("button", { type: "button", class: "primary", "data-key": "retry", onclick: () => this.act.retry(view) }, "Retry"));
  }

  drawNotices() {
    const { failure, outcome, phase } = this.view;
    const problem = outcome?.end === "stuck" ? outcome.problem : null;
    show(this.notices,
      phase === "waiting" && h("section", { class: "card ask", "aria-label": "Approval" },
        h("p", {}, "The new release is up and has passed its gates. It waits for somebody to approve it."),
        this.may("operate")
          ? [
            h("button", { type: "button", class: "danger", "data-key": "reject", onclick: () => this.act.reject(this.view) }, "Reject"),
            h("button", { type: "button", class: "primary", "data-key": "approve", onclick: () => this.act.approve(this.view) }, "Approve"),
          ]
          : h("p", { class: "faint" }, "Your token may not approve.")),
      failure && reason(failure),
      problem && reason(problem, "Stuck: "));
  }

  drawFacts() {
    const view = this.view;
    const fact = (name, value) => value && h("div", {}, h("dt", {}, name), h("dd", {}, value));
    const colour = (name) => name && h("span", { class: `badge ${name}` }, name);
    show(this.facts, h("dl", { class: "facts" },
      fact("by", view.by),
      fact("began", moment(view.opened)),
      view.ended ? fact("ended", moment(view.ended)) : fact("deadline", moment(view.deadline)),
      fact("new colour", colour(view.colour)),
      fact("before", colour(view.previous)),
      fact("release", view.release && h("code", {}, view.release)),
      fact("image", view.image && h("code", { title: view.image }, image(view.image))),
      view.sequence !== null && fact("sequence", String(view.sequence)),
      view.switch_micros !== null && fact("switch", `${(view.switch_micros / 1000).toFixed(1)} ms`)));
  }

  drawSteps() {
    show(this.list, STEPS.map((name) => {
      const step = this.steps.get(name) ?? { state: "pending", note: "" };
      const end = step.ended ? Date.parse(step.ended) : Date.now();
      const time = step.began && step.state !== "skipped" ? took(end - Date.parse(step.began)) : "";
      return h("li", { "data-state": step.state, "data-step": name, "aria-current": step.state === "running" ? "step" : null },
        h("span", { class: "mark", "aria-hidden": "true" }, MARKS[step.state]),
        h("span", { class: "name" }, name, h("span", { class: "unseen" }, `, ${STATES[step.state]}`)),
        h("span", { class: "took" }, time),
        step.note && h("span", { class: "note" }, step.note));
    }));
  }

  write(event) {
    const follows = this.log.scrollTop + this.log.clientHeight >= this.log.scrollHeight - 30;
    for (const [tone, text] of lines(event.what)) {
      this.log.append(h("p", {},
        h("time", { datetime: event.at }, clock(event.at)),
        h("span", { class: "step" }, event.step ?? ""),
        h("span", { class: tone }, text)));
    }
    while (this.log.childElementCount > MOST_LINES) this.log.firstElementChild.remove();
    if (follows) this.log.scrollTop = this.log.scrollHeight;
  }
}

function reason(failure, prefix = "") {
  return h("section", { class: "card reason", "aria-label": "Why it failed" },
    h("h2", {}, `${prefix}${failure.step}: ${failure.message}`),
    failure.details.length > 0 && h("pre", { tabindex: "0" }, failure.details.join("\n")),
    failure.remedy && h("p", { class: "help" }, `→ ${failure.remedy}`));
}

/** What happened as lines for the log: tone and text. */
function lines(what) {
  const tail = (head, text) => (text ? `${head}: ${text}` : head);
  switch (what.what) {
    case "opened": return [["", "accepted"]];
    case "began": return [["", "begins"]];
    case "done": return [["good", tail("done", what.note)]];
    case "skipped": return [["", tail("not needed", what.why)]];
    case "failed": return told("failed", what.failure);
    case "stopped": return told("stopped", what.failure);
    case "stuck": return told("stuck", what.problem);
    case "undoing": return [["warn", "undoing"]];
    case "undone": return [["warn", "undone"]];
    case "approved": return [["good", `approved by ${what.by}`]];
    case "retried": return [["warn", `taken up again by ${what.by}`]];
    case "note": return [["", what.text]];
    case "output": return [["output", `${what.gate} | ${what.line}`]];
    case "gate": return what.failure === null
      ? [["good", `gate ${what.gate} passed in ${took(what.millis)}`]]
      : [["bad", `gate ${what.gate} failed after ${took(what.millis)}: ${what.failure}`]];
    case "ended": return [[what.outcome.end === "committed" ? "good" : "warn", standing({ outcome: what.outcome })[0]]];
    default: return [["", what.what]];
  }
}

function told(head, failure) {
  return [["bad", `${head}: ${failure.message}`], ...failure.details.map((line) => ["", line])];
}
