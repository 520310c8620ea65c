// Proxies, and what the doctor finds.

import { Refused, get } from "./api.js";
import { h } from "./dom.js";

/** The page of the proxies. */
export function proxiesPage(status) {
  return [
    h("div", { class: "page-head" }, h("h1", {}, "Proxies")),
    status.proxies.length === 0
      ? h("div", { class: "card empty" }, h("p", {}, "No proxy is configured."))
      : h("div", { class: "stack" }, status.proxies.map(proxy)),
  ];
}

function proxy(proxy) {
  const text = h("pre", { class: "text", tabindex: "0", "aria-label": `Configuration of ${proxy.name}` }, "…");
  const details = h("details", { "data-key": `render-${proxy.name}` },
    h("summary", { "data-key": `summary-${proxy.name}` }, "Configuration as its template renders it now"),
    text);
  details.addEventListener("toggle", () => details.open && render(proxy.name, text));
  return h("article", { class: "card proxy", "aria-labelledby": `proxy-${proxy.name}` },
    h("div", { class: "proxy-head" },
      h("h2", { id: `proxy-${proxy.name}` }, proxy.name),
      h("span", { class: "badge" }, proxy.kind),
      h("span", { class: `badge ${proxy.in_sync ? "good" : "bad"}` }, proxy.in_sync ? "in sync" : "not in sync"),
      h("span", { class: "faint" }, `${proxy.reloads} ${proxy.reloads === 1 ? "reload" : "reloads"} since the daemon started`)),
    proxy.problem && h("p", { class: "problems" }, proxy.problem),
    details);
}

async function render(name, into) {
  try {
    const rendered = await get(`/v1/proxies/${encodeURIComponent(name)}/render`);
    const note = rendered.problem ?? (rendered.differs ? "This differs from what is in force." : null);
    into.textContent = [note && `# ${note}`, rendered.text].filter(Boolean).join("\n\n");
  } catch (error) {
    into.textContent = error instanceof Refused ? error.words : String(error);
  }
}

const TONES = { good: "good", warning: "warn", bad: "bad" };

/** The page of the findings; none while the doctor looks. */
export function doctorPage(findings, again) {
  return [
    h("div", { class: "page-head" },
      h("h1", {}, "Doctor"),
      h("span", { class: "grow" }),
      h("button", { type: "button", "data-key": "again", onclick: again, disabled: findings === null }, "Look again")),
    findings === null
      ? h("div", { class: "card empty" }, h("p", {}, "Looking at the engines, the registry and the proxies …"))
      : h("div", { class: "card" }, findings.map((finding) =>
        h("div", { class: "finding" },
          h("div", {}, h("span", { class: `badge ${TONES[finding.severity]}` }, finding.severity)),
          h("strong", {}, finding.subject),
          h("div", {}, h("p", {}, finding.message), finding.remedy && h("p", { class: "faint" }, `→ ${finding.remedy}`))))),
  ];
}
