// Asks the person at the keyboard.

import { get } from "./api.js";
import { h } from "./dom.js";
import { image, moment, short } from "./words.js";

/** Show a dialog with `form`'s fields; resolves to what was entered, or to null. */
function ask(title, body, { verb, tone = "primary" }) {
  return new Promise((resolve) => {
    const form = h("form", { method: "dialog" },
      h("h2", { id: "dialog-title" }, title),
      body,
      h("div", { class: "row" },
        h("button", { type: "submit", value: "cancel", formnovalidate: true }, "Cancel"),
        h("button", { type: "submit", value: "go", class: tone }, verb)));
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
    dialog.addEventListener("close", () => {
      const entered = dialog.returnValue === "go" ? Object.fromEntries(new FormData(form)) : null;
      dialog.remove();
      resolve(entered);
    });
    // Enter in a field is meant as "go on", not as the first button.
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.tagName === "INPUT") {
        event.preventDefault();
        form.requestSubmit(form.querySelector("button[value=go]"));
      }
    });
    document.body.append(dialog);
    dialog.showModal();
    form.querySelector("input")?.focus();
  });
}

/** A token, or null. */
export async function askToken(wrong) {
  const entered = await ask("This daemon asks for a token",
    [
      wrong && h("p", { class: "wrong" }, wrong),
      h("label", {}, "Token",
        h("input", { type: "password", name: "token", required: true, autocomplete: "off", spellcheck: "false" })),
      h("p", { class: "faint" }, "It is kept in this tab until you close it."),
    ],
    { verb: "Enter" });
  return entered?.token.trim() || null;
}

/** Whether to go on, and why. */
export async function askWhy(title, text, verb, tone) {
  const entered = await ask(title,
    [
      h("p", {}, text),
      h("label", {}, "Why (for the log)", h("input", { type: "text", name: "why", autocomplete: "off" })),
    ],
    { verb, tone });
  return entered ? entered.why.trim() : null;
}

/** Whether to go on. */
export async function askWhether(title, text, verb, tone) {
  return (await ask(title, h("p", {}, text), { verb, tone })) !== null;
}

/** The release of `service` to go back to, or null. */
export async function askRelease(service) {
  const releases = (await get(`/v1/services/${service}/releases`)).filter((past) => !past.live);
  if (releases.length === 0) {
    await askWhether(`Roll ${service} back`, "There is no earlier release to go back to.", "Close", "primary");
    return null;
  }
  const choices = releases.map((past, index) =>
    h("label", {},
      h("input", { type: "radio", name: "release", value: past.release, required: true, checked: index === 0 }),
      h("span", {},
        h("code", {}, past.release), " ", image(past.image),
        h("br"),
        h("span", { class: "faint" },
          `${moment(past.opened)} by ${past.by}, deployment ${short(past.deployment)}`,
          past.colour && `; still there on ${past.colour}`))));
  const entered = await ask(`Roll ${service} back`,
    [
      h("p", {}, "Make an earlier release live again. Gates, approval and bake are left out: it has passed them before."),
      h("fieldset", { class: "choices" }, h("legend", { class: "unseen" }, "Release"), choices),
    ],
    { verb: "Roll back" });
  return entered?.release ?? null;
}
