// Finds the page that is asked for, keeps it true, and does what is clicked.

import { Refused, follow, get, post, session } from "./api.js";
import { deploymentPage } from "./deployment.js";
import { askRelease, askToken, askWhether, askWhy } from "./dialogs.js";
import { announce, h, show, toast } from "./dom.js";
import { historyPage } from "./history.js";
import { doctorPage, proxiesPage } from "./proxies.js";
import { servicesPage } from "./services.js";

const main = document.getElementById("main");
const connection = document.getElementById("connection");
const leave = document.getElementById("leave");

let caller = { scopes: [], services: [] };
let leavePage = new AbortController();
let refreshPage = () => {};

const may = (scope) => caller.scopes.includes(scope);

function connected(state) {
  connection.dataset.state = state;
  connection.textContent = { live: "live", broken: "daemon unreachable", connecting: "connecting" }[state];
}

/** Do `what`; a refusal is shown, and a token asked for when that is what is missing. */
async function attempt(what) {
  try {
    return await what();
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return signIn(error.message);
    toast(error instanceof Refused ? error.words : `The daemon cannot be reached: ${error.message}`);
  }
  return undefined;
}

const act = {
  rollback: (service) => attempt(async () => {
    const release = await askRelease(service);
    if (release === null) return;
    const request = { kind: "rollback", service, release, by: "dashboard" };
    const submitted = await post("/v1/deployments", request);
    location.hash = `#/deployments/${submitted.deployment}`;
  }),
  abort: (view) => attempt(async () => {
    const text = `Deployment of ${view.service} is stopped, and all is put back as it was before.`;
    const why = await askWhy("Abort and revert", text, "Abort", "danger");
    if (why !== null) await post(`/v1/deployments/${view.id}/abort`, { by: "dashboard", why });
  }),
  approve: (view) => attempt(async () => {
    const text = `Public traffic of ${view.service} moves to ${view.colour}.`;
    const sure = await askWhether("Approve the switch", text, "Approve", "primary");
    if (sure) await post(`/v1/deployments/${view.id}/approve`, { by: "dashboard" });
  }),
  reject: (view) => attempt(async () => {
    const why = await askWhy("Reject and revert", `${view.service} stays as it is.`, "Reject", "danger");
    if (why !== null) await post(`/v1/deployments/${view.id}/reject`, { by: "dashboard", why });
  }),
  retry: (view) => attempt(async () => {
    const text = "What is left to do is tried again. Remove its cause first.";
    const sure = await askWhether("Take it up again", text, "Retry", "primary");
    if (sure) await post(`/v1/deployments/${view.id}/retry`, { by: "dashboard" });
  }),
};

/** Pages by the first word of the hash; each shows itself and says how it is kept true. */
const pages = {
  "": async () => {
    const draw = async () => show(main, servicesPage(await get("/v1/status"), may, act, caller.services.length === 0));
    await draw();
    refreshPage = draw;
  },
  history: async (service) => {
    const query = service ? `?limit=100&service=${encodeURIComponent(service)}` : "?limit=100";
    const draw = async () => show(main, historyPage(await get(`/v1/deployments${query}`), service));
    await draw();
    refreshPage = draw;
  },
  proxies: async () => {
    const draw = async () => show(main, proxiesPage(await get("/v1/status")));
    await draw();
    refreshPage = draw;
  },
  doctor: async () => {
    const draw = async () => {
      show(main, doctorPage(null, null));
      show(main, doctorPage(await get("/v1/doctor"), () => attempt(draw)));
    };
    await draw();
  },
  deployments: (id) => deploymentPage(main, id, { may, act, onState: connected, signal: leavePage.signal }),
};

const NAMES = { "": "services", deployments: "history" };

async function open() {
  leavePage.abort();
  leavePage = new AbortController();
  const { signal } = leavePage;
  refreshPage = () => {};
  const [name, argument] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.dataset.page === (NAMES[name] ?? name);
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const page = pages[name];
  if (!page) {
    show(main, h("div", { class: "card empty" }, h("p", {}, "There is no such page.")));
    return;
  }
  await attempt(() => page(argument).catch((error) => {
    if (!signal.aborted) throw error;
  }));
}

/** Whatever happens anywhere makes the page ask again, at most a few times a second. */
async function watch() {
  let soon = null;
  const later = () => {
    soon ??= setTimeout(() => {
      soon = null;
      Promise.resolve(refreshPage()).catch(() => connected("broken"));
    }, 250);
  };
  const quiet = ["output", "note"];
  await follow("/v1/events", {
    signal: new AbortController().signal,
    onState: (state) => {
      connected(state);
      if (state === "live") later();
    },
    onEvent: (event) => {
      if (!quiet.includes(event.what.what)) later();
    },
  });
}

/** Instances and proxies also change without any deployment. */
const EVERY = 10_000;

async function signIn(wrong) {
  const token = await askToken(session.token ? wrong : null);
  if (token === null) {
    session.token = null;
    const again = h("button", { type: "button", class: "primary", onclick: () => signIn(null) }, "Enter a token");
    show(main, h("div", { class: "card empty" }, h("p", {}, "Nothing is shown without a token."), h("p", {}, again)));
    return;
  }
  session.token = token;
  await begin();
}

let watching = false;

async function begin() {
  await attempt(async () => {
    caller = await get("/v1/caller");
    leave.hidden = !session.token;
    if (!watching) {
      watching = true;
      watch().catch(() => { watching = false; });
      setInterval(() => { if (!document.hidden) Promise.resolve(refreshPage()).catch(() => {}); }, EVERY);
    }
    await open();
  });
}

leave.addEventListener("click", () => {
  session.token = null;
  location.reload();
});

addEventListener("hashchange", () => {
  open();
  main.focus({ preventScroll: true });
  announce(document.querySelector("h1")?.textContent ?? "");
});

begin();
