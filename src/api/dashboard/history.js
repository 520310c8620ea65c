// Deployments, the newest first.

import { h } from "./dom.js";
import { image, moment, short, standing, took } from "./words.js";

/** The page, of one service or of all. */
export function historyPage(views, service) {
  return [
    h("div", { class: "page-head" },
      h("h1", {}, service ? `History of ${service}` : "History"),
      service && h("a", { href: "#/history" }, "all services")),
    views.length === 0
      ? h("div", { class: "card empty" }, h("p", {}, "Nothing was deployed yet."))
      : h("div", { class: "card scroll" },
        h("table", {},
          h("thead", {}, h("tr", {},
            ["Deployment", "Service", "Kind", "Colour", "Release", "Image", "Began", "Took", "Outcome", "By"]
              .map((name) => h("th", { scope: "col" }, name)))),
          h("tbody", {}, views.map(row)))),
  ];
}

function row(view) {
  const [words, tone] = standing(view);
  const end = view.ended ? Date.parse(view.ended) : Date.now();
  return h("tr", {},
    h("td", {}, h("a", { href: `#/deployments/${view.id}`, class: "mono", "data-key": view.id }, short(view.id))),
    h("td", {}, view.service),
    h("td", {}, view.kind),
    h("td", {}, view.colour && h("span", { class: `badge ${view.colour}` }, view.colour)),
    h("td", {}, h("code", {}, view.release ?? "")),
    h("td", {}, h("code", { title: view.image }, image(view.image))),
    h("td", {}, moment(view.opened)),
    h("td", {}, took(end - Date.parse(view.opened))),
    h("td", {}, h("span", { class: `badge ${tone}` }, words)),
    h("td", { class: "faint" }, view.by));
}
