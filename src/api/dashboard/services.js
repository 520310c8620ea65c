// The first page: each service with its two colours.

import { h } from "./dom.js";
import { MARKS, STATES, STEPS, image, short, standing } from "./words.js";

const COLOURS = ["blue", "green"];

/** The page. `may` says what the person may do, `act` does it; who sees only some services is told so. */
export function servicesPage(status, may, act, seesAll) {
  return [
    h("div", { class: "page-head" }, h("h1", {}, "Services"), counts(status)),
    h("div", { class: "stack" },
      problems(status),
      status.registry && h("p", { class: "drift" }, "While the registry is away, what is live is what every proxy leads to."),
      status.services.length === 0
        ? status.registry
          ? h("div", { class: "card empty" }, h("p", {}, "No service is known."))
          : seesAll
            ? h("div", { class: "card empty" }, h("p", {}, "Nothing is deployed yet."), h("code", {}, "verdigris deploy -f stack.yml"))
            : h("div", { class: "card empty" }, h("p", {}, "Nothing that this token may see is deployed."))
        : status.services.map((service) => card(service, !status.registry, may, act))),
  ];
}

function counts(status) {
  const broken = status.proxies.filter((proxy) => !proxy.in_sync).length;
  const proxies = `${status.proxies.length} ${status.proxies.length === 1 ? "proxy" : "proxies"}`;
  return [
    h("span", { class: "badge" }, `${status.services.length} deployed`),
    status.proxies.length > 0 &&
      h("a", { class: `badge ${broken ? "bad" : "good"}`, href: "#/proxies" },
        broken ? `${broken} of ${proxies} not in sync` : `${proxies} in sync`),
  ];
}

/** What is wrong, wherever it is. */
export function problems(status) {
  const lines = [
    ...status.problems,
    ...status.proxies.filter((proxy) => proxy.problem).map((proxy) => `proxy ${proxy.name}: ${proxy.problem}`),
  ];
  return lines.length > 0 &&
    h("section", { class: "problems", "aria-label": "Problems" },
      h("h2", {}, lines.length === 1 ? "A problem" : `${lines.length} problems`),
      h("ul", {}, lines.map((line) => h("li", {}, line))));
}

function card(service, known, may, act) {
  const name = service.service;
  return h("article", { class: "card service", "aria-labelledby": `service-${name}` },
    h("div", { class: "service-head" },
      h("h2", { id: `service-${name}` }, name),
      route(service.route),
      h("span", { class: "grow" }),
      may("deploy") && service.live && !service.deployment &&
        h("button", { type: "button", "data-key": `rollback-${name}`, onclick: () => act.rollback(name) }, "Roll back"),
      h("a", { href: `#/history/${name}`, "aria-label": `History of ${name}` }, "History")),
    h("div", { class: "lanes" }, COLOURS.map((colour) => lane(service, colour, known))),
    service.drift.map((line) => h("p", { class: "drift" }, `⚠ ${line}`)),
    (service.mended ?? []).map(({ at, what }) =>
      h("p", { class: "drift mended" }, `mended at ${new Date(at).toLocaleTimeString()}: ${what}`)),
    service.deployment && underWay(service.deployment));
}

function route(route) {
  if (!route?.rule) return h("span", { class: "route" }, "no public route");
  const path = route.rule.path === "/" ? "" : route.rule.path;
  const scheme = route.rule.tls ? "https" : "http";
  return h("span", { class: "route mono" },
    route.rule.hosts.map((host, index) => [
      index > 0 && ", ",
      h("a", { href: `${scheme}://${host}${path}/`, rel: "noreferrer", target: "_blank" }, `${host}${path}`),
    ]));
}

/** One colour; are its instances `known`? */
function lane(service, colour, known) {
  const live = service.live === colour;
  const release = service.releases[colour];
  const instances = service.instances.filter((entry) => entry.colour === colour);
  const share = service.route?.weights?.[colour] ?? 0;
  const state = live ? "LIVE" : release ? "IDLE" : "EMPTY";
  return h("section", {
    class: `lane ${live ? "live" : ""} ${release ? "" : "void"}`,
    "data-colour": colour,
    "aria-label": `${colour}, ${state.toLowerCase()}`,
  },
  h("div", { class: "lane-head" },
    h("span", { class: "dot", "aria-hidden": "true" }),
    h("strong", {}, colour),
    share > 0 && h("span", { class: "faint" }, `${share} % of the traffic`),
    h("span", { class: "state" }, state)),
  release && h("dl", {},
    h("dt", {}, "release"), h("dd", {}, h("code", {}, release)),
    h("dt", {}, "image"), h("dd", {}, h("code", { title: service.images[colour] }, image(service.images[colour]))),
    h("dt", {}, "instances"),
    h("dd", {}, instances.length === 0
      ? known ? "none" : "unknown"
      : h("ul", { class: "instances" },
        instances.map((entry) =>
          h("li", { title: `task ${entry.instance.task} on ${entry.instance.node}` }, entry.instance.address))))));
}

function underWay(view) {
  const [words, tone] = standing(view);
  const states = new Map(view.steps.map((step) => [step.step, step.state]));
  const now = view.steps.filter((step) => ["running", "undoing", "stuck"].includes(step.state)).map((step) => step.step);
  return h("a", { class: "under-way", href: `#/deployments/${view.id}`, "data-key": `deployment-${view.id}` },
    h("div", { class: "under-way-head" },
      h("strong", {}, `${view.kind} `, h("code", {}, short(view.id))),
      h("span", { class: `badge ${tone}` }, words),
      now.length > 0 && h("span", { class: "faint" }, now.join(", ")),
      h("span", { class: "faint" }, `by ${view.by}`)),
    track(states));
}

function track(states) {
  return h("ol", { class: "track", "aria-label": "Steps" },
    STEPS.map((step) => {
      const state = states.get(step) ?? "pending";
      return h("li", { "data-state": state, title: `${step}: ${STATES[state]} ${MARKS[state]}` },
        h("span", { class: "unseen" }, `${step}: ${STATES[state]}`));
    }));
}
