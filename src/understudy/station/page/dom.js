// Builds elements. Text goes in as text nodes only, so nothing that a client sent is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") {
      for (const [event, action] of Object.entries(value)) node.addEventListener(event, action);
    } else if (key === "css") {
      for (const [name, text] of Object.entries(value)) node.style.setProperty(name, text);
    } else if (value === true) {
      node.setAttribute(key, "");
    } else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(key, String(value));
    }
  }
  node.append(
    ...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return node;
}

export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function icon(name, classes = "icon") {
  return svg(
    "svg",
    { class: classes, "aria-hidden": "true", focusable: "false" },
    svg("use", { href: `page/icons.svg#${name}` }),
  );
}

export function button(text, action, { symbol = null, key = null, ...attributes } = {}) {
  return el(
    "button",
    { type: "button", on: { click: action }, "aria-keyshortcuts": key?.toUpperCase(), ...attributes },
    symbol && icon(symbol),
    text,
    key && el("kbd", { "aria-hidden": "true" }, key.toUpperCase()),
  );
}

export function heading(title, text = null, ...actions) {
  return el(
    "div",
    { class: "heading" },
    el("div", {}, el("h1", {}, title), text && el("p", {}, text)),
    actions.length > 0 && el("div", { class: "actions" }, actions),
  );
}

export function empty(symbol, title, ...help) {
  return el("div", { class: "empty" }, icon(symbol, "icon big"), el("h2", {}, title), help);
}

export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el(
    "dl",
    { class: "facts" },
    shown.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}
