// Model: which one decides, what it promises, its other versions, and who changed what.

import { call } from "./api.js";
import { ask, say, who } from "./dialog.js";
import { button, el, facts, heading, icon } from "./dom.js";
import * as format from "./format.js";
import { may } from "./now.js";
import { weekCard } from "./weeks.js";

export function open(root, { signal, refresh }) {
  const place = el("div", { class: "model" });
  root.append(
    heading(
      "Model",
      "What decides here, what it promises, and who changed what.",
      el("a", { class: "button", href: "#calls" }, "Calls for clients"),
    ),
    place,
  );
  let version = null;

  async function load() {
    try {
      const [model, { weeks }, { changes }] = await Promise.all(
        ["api/model", "api/weeks", "api/changes"].map((path) => call(path, { signal })),
      );
      version = model.version;
      place.replaceChildren(card(model), weekCard(weeks), versions(model), audit(changes));
    } catch (error) {
      if (error.name !== "AbortError")
        place.replaceChildren(
          el("p", { class: "error", role: "alert" }, error.message),
          button("Try again", load),
        );
    }
  }

  function card(model) {
    const promise = model.calibration
      ? el(
          "p",
          { class: "promise" },
          icon("thresholds"),
          el(
            "span",
            {},
            model.calibration.promise,
            el(
              "span",
              { class: "soft small block" },
              `From ${format.count(model.calibration.n_good)} good pictures.`,
            ),
          ),
        )
      : el(
          "p",
          { class: "promise none" },
          icon("review"),
          el(
            "span",
            {},
            "The model is not calibrated: it gives scores, no verdicts. Run understudy calibrate and load it again.",
          ),
        );
    return el(
      "section",
      { class: "card", "aria-label": "Model in force" },
      el(
        "div",
        { class: "model-name" },
        el("h2", {}, model.name),
        el("span", { class: "chip none" }, `Version ${model.version}`),
      ),
      promise,
      facts([
        ["Products", format.list(model.products)],
        ["Method", model.method],
        ["Teacher", model.teacher],
        ["Trained on", trained(model.trained)],
        ["Parity", model.parity],
        ["Licence", model.licence],
      ]),
    );
  }

  function trained(value) {
    if (Array.isArray(value)) return format.list(value.map(String));
    if (value && typeof value === "object")
      return format.list(Object.entries(value).map(([name, n]) => `${name} (${n})`));
    return /^\d{4}-\d{2}-\d{2}T/.test(String(value)) ? format.whole(value) : value;
  }

  function versions(model) {
    const earlier = model.versions.filter(({ active }) => !active);
    return el(
      "section",
      { class: "card", "aria-label": "Versions" },
      el(
        "div",
        { class: "card-head" },
        el("h2", {}, "Versions"),
        earlier.length > 0 &&
          button("Roll back", () => rollBack(), {
            symbol: "undo",
            disabled: !may("admin"),
            title: may("admin") ? null : "An admin's token is needed.",
          }),
      ),
      el(
        "ul",
        { class: "versions" },
        model.versions.map((each) =>
          el(
            "li",
            {},
            el("strong", { class: "number" }, `Version ${each.version}`),
            each.active
              ? el("span", { class: "chip pass" }, icon("pass"), "In force")
              : el("span", { class: "soft small" }, standing(each.loaded)),
            el("code", { title: each.sha256 }, format.short(each.sha256)),
          ),
        ),
      ),
      el(
        "p",
        { class: "soft small" },
        "A new version is loaded, warmed and compared on kept pictures before it takes over. No call is lost.",
      ),
    );
  }

  function standing(loaded) {
    if (typeof loaded === "string") return `Loaded ${format.moment(loaded)}`;
    return loaded ? "Ready" : "Not loaded";
  }

  function audit(changes) {
    return el(
      "section",
      { class: "card", "aria-label": "Changes" },
      el("h2", {}, "Changes"),
      changes.length === 0
        ? el("p", { class: "soft" }, "Nothing has been changed at this station yet.")
        : el(
            "div",
            { class: "scroll", tabindex: "0", role: "region", "aria-label": "List of changes" },
            el(
              "table",
              {},
              el("caption", { class: "hidden" }, "Changes, newest first"),
              el(
                "thead",
                {},
                el(
                  "tr",
                  {},
                  ["When", "Who", "What", "Detail"].map((text) => el("th", { scope: "col" }, text)),
                ),
              ),
              el(
                "tbody",
                {},
                changes.map((change) =>
                  el(
                    "tr",
                    {},
                    el("td", { class: "number" }, format.moment(change.time)),
                    el("td", {}, change.who),
                    el("td", {}, change.action),
                    el("td", { class: "soft small" }, detail(change.detail)),
                  ),
                ),
              ),
            ),
          ),
    );
  }

  function detail(value) {
    return Object.entries(value)
      .map(([name, each]) => `${name.replaceAll("_", " ")}: ${plain(each)}`)
      .join("; ");
  }

  async function rollBack() {
    const sure = await ask({
      title: "Roll back to the version before?",
      ok: "Roll back",
      text: `Version ${version} stays at hand. The change counts from the next picture on, and is logged.`,
    });
    const person = sure && (await who());
    if (!person) return;
    try {
      await call("api/model/rollback", { method: "POST", body: { who: person, version }, wait: 120000 });
      say("The version before is in force.");
      await load();
      refresh();
    } catch (error) {
      say(error.message, { bad: true });
    }
  }

  load();
  return {
    tick(state) {
      if (version !== null && state.model.version !== version) load();
    },
  };
}

function plain(value) {
  if (typeof value === "number")
    return Number.isInteger(value) ? format.count(value) : String(Number(value.toPrecision(4)));
  return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);
}
