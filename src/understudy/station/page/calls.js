// Calls: what a client can ask of the station, as its OpenAPI description says.

import { call, token } from "./api.js";
import { el, heading } from "./dom.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

export function open(root, { signal }) {
  const place = el("div", { "aria-busy": "true" });
  root.append(
    heading("Calls", "What a client can ask of this station. The description is OpenAPI, at /openapi.json."),
    place,
  );

  async function load() {
    try {
      const { paths } = await call("openapi.json", { signal });
      place.replaceChildren(...groups(paths));
    } catch (error) {
      if (error.name === "AbortError") return;
      place.replaceChildren(el("p", { class: "error", role: "alert" }, error.message));
    }
    place.setAttribute("aria-busy", "false");
  }

  load();
  return {};
}

function groups(paths) {
  const found = new Map([
    ["Inspect", []],
    ["Open Inference Protocol", []],
    ["What this page uses", []],
  ]);
  for (const [path, methods] of Object.entries(paths)) {
    const name = path.startsWith("/v2")
      ? "Open Inference Protocol"
      : path.startsWith("/api")
        ? "What this page uses"
        : "Inspect";
    for (const method of METHODS)
      if (methods[method]) found.get(name).push({ path, method, ...methods[method] });
  }
  return [...found]
    .filter(([, calls]) => calls.length > 0)
    .map(([name, calls]) =>
      el(
        "section",
        { class: "card calls", "aria-label": name },
        el("h2", {}, name),
        name === "Inspect" && el("pre", {}, el("code", {}, example())),
        el("ul", {}, calls.map(line)),
      ),
    );
}

function line({ path, method, summary = "", description = "" }) {
  return el(
    "li",
    {},
    el("p", {}, el("code", { class: "method" }, method.toUpperCase()), " ", el("code", {}, path)),
    el("p", { class: "soft" }, written(description.split("\n\n")[0] || summary)),
  );
}

// ``words`` of the description are code.
function written(text) {
  return text.split("``").map((part, i) => (i % 2 ? el("code", {}, part) : part));
}

export function example() {
  const address = new URL("inspect", document.baseURI.split("#")[0]).href;
  const key = token.get() ? ' -H "Authorization: Bearer TOKEN"' : "";
  return `curl${key} -F pictures=@picture.png ${address}`;
}
