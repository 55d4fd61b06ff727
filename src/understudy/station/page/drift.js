// Drift: has the line changed since the model was calibrated? One bar a stream, up to its limit.

import { call } from "./api.js";
import { ask, say, who } from "./dialog.js";
import { button, el, empty, heading, icon } from "./dom.js";
import * as format from "./format.js";
import { may } from "./now.js";

const EVERY = 5000;
const NAMES = {
  score: ["Score", "how unusual the pictures are"],
  distance: ["Likeness", "how near the pictures are to the product"],
  brightness: ["Brightness", "how light the pictures are"],
  sharpness: ["Sharpness", "how clear the pictures are"],
};

export function open(root, { signal }) {
  const place = el("div", {});
  root.append(
    heading("Drift", "Light, lens or supplier: has the line changed since the model was calibrated?"),
    place,
  );
  let fetched = 0;
  let drawn = "";

  async function load() {
    const status = await call("api/drift", { signal });
    fetched = Date.now();
    const key = JSON.stringify(status) + may("admin");
    if (key === drawn) return;
    drawn = key;
    const focus = place.contains(document.activeElement) ? document.activeElement.id : null;
    place.replaceChildren(...body(status));
    if (focus) document.getElementById(focus)?.focus();
  }

  function body({ budget, streams }) {
    if (streams.length === 0) {
      return [
        empty(
          "drift",
          "Nothing is watched yet",
          el(
            "p",
            {},
            "Drift needs a calibrated model: new pictures are compared with the good ones of its calibration.",
          ),
          el("pre", {}, el("code", {}, "understudy calibrate MODEL PICTURES")),
        ),
      ];
    }
    const products = [...new Set(streams.map((stream) => stream.product))];
    const alarmed = (product) =>
      streams.some((stream) => stream.product === product && stream.since !== null);
    products.sort((a, b) => Number(alarmed(b)) - Number(alarmed(a)) || a.localeCompare(b));
    return [
      summary(budget, streams),
      el(
        "div",
        { class: "drift-cards" },
        products.map((product, i) =>
          card(
            product,
            streams.filter((stream) => stream.product === product),
            `reset-${i}`,
          ),
        ),
      ),
    ];
  }

  function summary(budget, streams) {
    const alarms = streams.filter((stream) => stream.since !== null);
    const told =
      "The chance that this station ever gives a false alarm here, as long as nothing changes, is at most " +
      `${format.percent(budget)}, over all bars together.`;
    if (alarms.length === 0)
      return el(
        "p",
        { class: "verdict-line calm" },
        icon("pass"),
        el("span", {}, el("strong", {}, "No change is seen. "), told),
      );
    return el(
      "p",
      { class: "verdict-line alarm" },
      icon("review"),
      el(
        "span",
        {},
        el(
          "strong",
          {},
          alarms.length === 1
            ? "One change is sure enough to act on. "
            : `${alarms.length} changes are sure enough to act on. `,
        ),
        told,
      ),
    );
  }

  function card(product, streams, id) {
    const alarmed = streams.some((stream) => stream.since !== null);
    return el(
      "section",
      { class: `card drift-card${alarmed ? " alarmed" : ""}`, "aria-label": product },
      el(
        "div",
        { class: "card-head" },
        el("h2", {}, product),
        alarmed
          ? button("It is mended", () => reset(product), {
              id,
              disabled: !may("admin"),
              title: may("admin") ? null : "An admin's token is needed.",
            })
          : el(
              "span",
              { class: "soft small number" },
              `${format.count(Math.max(...streams.map((stream) => stream.n)))} pictures`,
            ),
      ),
      el("ul", { class: "streams" }, streams.map(bar)),
    );
  }

  function bar(stream) {
    const [name, meaning] = NAMES[stream.name] ?? [stream.name, ""];
    const share = Math.max(0, Math.min(1, stream.level / stream.limit));
    const kind = stream.since !== null ? "alarm" : share > 0.5 ? "rising" : "calm";
    const word = { alarm: "Alarm", rising: "Rising", calm: "Calm" }[kind];
    return el(
      "li",
      { class: `stream ${kind}` },
      el(
        "div",
        { class: "stream-head" },
        el("span", {}, el("strong", {}, name), el("span", { class: "soft small" }, ` ${meaning}`)),
        el("span", { class: `stream-word ${kind}` }, kind !== "calm" && icon("review"), word),
      ),
      el(
        "div",
        {
          class: "track",
          role: "meter",
          "aria-label": `${product(stream)}${name}: evidence of a change`,
          "aria-valuemin": 0,
          "aria-valuemax": format.decimal(stream.limit, 2),
          "aria-valuenow": format.decimal(Math.max(0, Math.min(stream.level, stream.limit)), 2),
        },
        el("span", { css: { width: `${100 * (stream.since !== null ? 1 : share)}%` } }),
      ),
      stream.what &&
        el(
          "p",
          { class: kind === "alarm" ? "what" : "what soft small" },
          stream.what,
          stream.since !== null &&
            el(
              "span",
              { class: "soft small block" },
              `Alarm at picture ${format.count(stream.since)} of ${format.count(stream.n)}.`,
            ),
        ),
    );
  }

  function product(stream) {
    return stream.product ? `${stream.product}, ` : "";
  }

  async function reset(name) {
    const sure = await ask({
      title: `Watch ${name} anew?`,
      ok: "Watch anew",
      text:
        "Do this after the cause was mended, or after the model was calibrated again. " +
        "What was seen until now no longer counts. The change is logged.",
    });
    const person = sure && (await who());
    if (!person) return;
    try {
      await call("api/drift/reset", { method: "POST", body: { product: name, who: person } });
      say(`${name} is watched anew.`);
      await load();
    } catch (error) {
      say(error.message, { bad: true });
    }
  }

  return {
    async tick() {
      if (Date.now() - fetched >= EVERY) await load();
    },
  };
}
