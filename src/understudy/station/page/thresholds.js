// Thresholds: moves them, and first says what would have happened on the kept history.

import { call } from "./api.js";
import { ask, say, who } from "./dialog.js";
import { el, empty, heading, icon, svg } from "./dom.js";
import * as format from "./format.js";
import { may } from "./now.js";
import { outcome } from "./outcome.js";

const PAUSE = 250; // milliseconds without a move until the question is asked
const STEPS = 200; // of a slider

export function open(root, { signal }) {
  const tabs = el("div", { class: "product-tabs", role: "group", "aria-label": "Product" });
  const place = el("div", {});
  root.append(
    heading("Thresholds", "Where PASS ends and FAIL begins. Nothing changes until you save."),
    tabs,
    place,
  );
  let products = [];
  let chosen = 0;
  let days = 7;

  async function load() {
    try {
      products = (await call("api/thresholds", { signal })).products;
      draw();
    } catch (error) {
      if (error.name !== "AbortError")
        place.replaceChildren(el("p", { class: "error", role: "alert" }, error.message));
    }
  }

  function draw() {
    chosen = Math.min(chosen, Math.max(0, products.length - 1));
    if (products.length === 0) {
      place.replaceChildren(
        empty(
          "thresholds",
          "The model is not calibrated",
          el("p", {}, "Thresholds come from good pictures that the training has not seen."),
          el("pre", {}, el("code", {}, "understudy calibrate MODEL PICTURES")),
        ),
      );
      return;
    }
    tabs.replaceChildren(
      ...products.map(({ product }, i) =>
        el(
          "button",
          {
            type: "button",
            class: "toggle",
            "aria-pressed": String(i === chosen),
            on: {
              click: () => {
                chosen = i;
                draw();
              },
            },
          },
          product ?? "All others",
        ),
      ),
    );
    place.replaceChildren(editor(products[chosen]));
  }

  function editor(saved) {
    const values = { review_above: saved.review_above, fail_above: saved.fail_above };
    const reach = Math.max(saved.fail_above - saved.review_above, 0.25 * Math.abs(saved.fail_above), 1e-3);
    const low = Math.min(0, saved.review_above - 2 * reach);
    const high = saved.fail_above + 3 * reach;
    const step = nice((high - low) / STEPS);
    const result = el("div", { class: "outcome", "aria-live": "polite" });
    const save = el(
      "button",
      { type: "button", class: "main-button", disabled: true, on: { click: keep } },
      "Save",
    );
    const back = el(
      "button",
      {
        type: "button",
        disabled: true,
        on: {
          click: () => {
            set("review_above", saved.review_above);
            set("fail_above", saved.fail_above);
          },
        },
      },
      "As saved",
    );
    const inputs = {};
    const zones = svg(
      "svg",
      { class: "zones", viewBox: "0 0 1000 14", preserveAspectRatio: "none", "aria-hidden": "true" },
      zonesOf(values, low, high),
    );
    let timer = null;
    let asking = null;

    function set(name, value) {
      values[name] = value;
      if (name === "review_above" && value > values.fail_above) values.fail_above = value;
      if (name === "fail_above" && value < values.review_above) values.review_above = value;
      for (const [key, [slider, field]] of Object.entries(inputs)) {
        slider.value = values[key];
        slider.setAttribute("aria-valuetext", format.score(values[key]));
        if (document.activeElement !== field || Number(field.value) !== values[key])
          field.value = round(values[key], step);
      }
      zones.replaceChildren(...zonesOf(values, low, high));
      const changed = values.review_above !== saved.review_above || values.fail_above !== saved.fail_above;
      back.disabled = !changed;
      save.disabled = true;
      clearTimeout(timer);
      timer = setTimeout(what, PAUSE);
    }

    async function what() {
      asking?.abort();
      asking = new AbortController();
      const { signal: mine } = asking;
      result.setAttribute("aria-busy", "true");
      try {
        const answer = await call("api/thresholds/what-if", {
          method: "POST",
          body: { product: saved.product, ...values, days },
          signal: mine,
        });
        if (mine.aborted || signal.aborted) return;
        result.replaceChildren(...outcome(answer));
        save.disabled = back.disabled || !may("admin");
      } catch (error) {
        if (error.name === "AbortError") return;
        result.replaceChildren(el("p", { class: "error" }, error.message));
      }
      result.setAttribute("aria-busy", "false");
    }

    async function keep() {
      const sure = await ask({
        title: `Change the thresholds of ${saved.product ?? "all other products"}?`,
        ok: "Change them",
        text:
          "They count from the next picture on. The change is logged with your name. " +
          "Thresholds set by hand promise no rate of false alarms.",
        details: el(
          "dl",
          { class: "change" },
          ["review_above", "fail_above"].map((name) =>
            el(
              "div",
              {},
              el("dt", {}, name === "review_above" ? "REVIEW above" : "FAIL above"),
              el("dd", { class: "number" }, `${format.score(saved[name])} → ${format.score(values[name])}`),
            ),
          ),
        ),
      });
      const person = sure && (await who());
      if (!person) return;
      try {
        await call("api/thresholds", {
          method: "POST",
          body: { product: saved.product, ...values, who: person },
        });
        say("The new thresholds are in force.");
        await load();
      } catch (error) {
        say(error.message, { bad: true });
      }
    }

    function row(name, label, kind) {
      const slider = el("input", {
        type: "range",
        id: `${name}-slider`,
        min: low,
        max: high,
        step: "any",
        value: values[name],
        on: {
          input: (event) => set(name, Number(round(Number(event.target.value), step))),
          keydown: (event) => {
            const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[
              event.key
            ];
            if (!by) return;
            event.preventDefault();
            set(name, Number(round(values[name] + by * step, step)));
          },
        },
      });
      const field = el("input", {
        type: "number",
        id: name,
        step: "any",
        inputmode: "decimal",
        "aria-label": `${label}, as a number`,
        value: round(values[name], step),
        on: {
          change: (event) =>
            event.target.value !== "" && Number.isFinite(Number(event.target.value))
              ? set(name, Number(event.target.value))
              : set(name, values[name]),
        },
      });
      inputs[name] = [slider, field];
      return el(
        "div",
        { class: "threshold" },
        el("label", { for: `${name}-slider` }, icon(kind), label),
        field,
        slider,
      );
    }

    const period = el(
      "select",
      {
        id: "days",
        on: {
          change: (event) => {
            days = Number(event.target.value);
            what();
          },
        },
      },
      [
        [1, "Last day"],
        [7, "Last 7 days"],
        [30, "Last 30 days"],
        [90, "Last 90 days"],
      ].map(([value, text]) => el("option", { value, selected: value === days }, text)),
    );
    what();
    return el(
      "div",
      { class: "threshold-grid" },
      el(
        "section",
        { class: "card", "aria-label": "Thresholds" },
        el(
          "p",
          { class: "soft" },
          saved.own
            ? "This product has thresholds of its own. "
            : "This product shares the thresholds of all products. ",
          saved.false_alarm_rate
            ? `As saved, about ${format.percent(saved.false_alarm_rate)} of good pictures FAIL.`
            : "",
        ),
        zones,
        row("review_above", "REVIEW above", "review"),
        row("fail_above", "FAIL above", "fail"),
        el("div", { class: "save-row" }, save, back),
        !may("admin") &&
          el(
            "p",
            { class: "soft small" },
            "You can try values here. To save them, the screen needs an admin's token.",
          ),
      ),
      el(
        "section",
        { class: "card", "aria-label": "What would have happened" },
        el(
          "div",
          { class: "card-head" },
          el("h2", {}, "What would have happened"),
          el(
            "div",
            { class: "inline-field" },
            el("label", { for: "days", class: "hidden" }, "In which time"),
            period,
          ),
        ),
        result,
      ),
    );
  }

  load();
  return {};
}

function zonesOf({ review_above: review, fail_above: fail }, low, high) {
  const at = (value) => Math.max(0, Math.min(1000, (1000 * (value - low)) / (high - low)));
  const zone = (kind, from, to) =>
    svg("rect", { class: `zone ${kind}`, x: from, y: 0, width: to - from, height: 14 });
  return [zone("pass", 0, at(review)), zone("review", at(review), at(fail)), zone("fail", at(fail), 1000)];
}

function nice(step) {
  const size = 10 ** Math.floor(Math.log10(step));
  return size * [1, 2, 5, 10].find((factor) => factor * size >= step * 0.999);
}

function round(value, step) {
  return value.toFixed(Math.max(2, Math.min(10, -Math.floor(Math.log10(step)))));
}
