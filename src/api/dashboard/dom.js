// Builds elements. Text only ever becomes a text node, so nothing that a service, a gate or a person
// wrote is taken for markup.

/** An element: `h("a", { href: "#/", class: "x", onclick: f }, "text", [children], null)`. */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Show `children` in `element` instead of what it shows; the focus and open details stay where they were. */
export function show(element, ...children) {
  const key = element.contains(document.activeElement) && document.activeElement.dataset.key;
  const open = new Set([...element.querySelectorAll("details[open]")].map((it) => it.dataset.key));
  element.replaceChildren();
  append(element, children);
  for (const details of element.querySelectorAll("details")) {
    if (open.has(details.dataset.key)) details.open = true;
  }
  if (key) element.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

/** Say something to screen readers. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

/** Show a problem for a while. */
export function toast(text) {
  const box = h("p", { class: "toast" }, text);
  document.getElementById("toasts").append(box);
  setTimeout(() => box.remove(), 8000);
}
