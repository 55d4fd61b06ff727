// Live view: the last verdict, large enough to be read from three metres, and how the line is doing.

import { call, query } from "./api.js";
import { example } from "./calls.js";
import { say } from "./dialog.js";
import { el, empty, icon } from "./dom.js";
import * as format from "./format.js";
import { may, stationTime } from "./now.js";
import { picture, thumbnail } from "./picture.js";
import { VERDICTS, chip, shareBar, shown, sum } from "./verdict.js";

const STRIP = 20;

export function open(root, { signal, refresh }) {
  const word = el("span", { class: "word" });
  const symbol = el("span", { class: "symbol" });
  const line = el("p", { class: "line" });
  const age = el("p", { class: "age number" });
  const hero = el(
    "section",
    { class: "hero none", "aria-label": "Last verdict" },
    el("div", { class: "verdict", role: "status", "aria-live": "polite" }, symbol, word),
    el("div", { class: "about" }, line, age),
  );
  const look = el("section", { class: "card look", "aria-label": "Last picture" });
  const numbers = el("section", { class: "card numbers", "aria-label": "Counts" });
  const strip = el("ol", { class: "strip" });
  const last = el(
    "section",
    { class: "card last" },
    el(
      "div",
      { class: "card-head" },
      el("h2", {}, "Last pictures"),
      el("a", { href: "#history" }, "All in History"),
    ),
    strip,
  );
  const body = el(
    "div",
    { class: "live", hidden: true },
    hero,
    el("div", { class: "pair" }, look, numbers),
    last,
  );
  const nothing = el("div", { hidden: true }, welcome());
  root.append(el("h1", { class: "hidden" }, "Live"), body, nothing, sender(refresh));

  const tiles = new Map();
  let newest = null;
  let silentNow = false;

  function drawHero(inspection) {
    const { kind, word: text } = shown(inspection.verdict);
    hero.className = `hero ${kind}`;
    if (word.textContent !== text) {
      word.textContent = text;
      word.classList.toggle("long", text.length > 6);
      symbol.replaceChildren(icon(kind));
    }
    const parts = [inspection.product, inspection.reason ?? `score ${format.score(inspection.score)}`];
    if (!inspection.reason && inspection.fail_above !== null)
      parts.push(`FAIL above ${format.score(inspection.fail_above)}`);
    line.textContent = parts.filter(Boolean).join("  ·  ");
  }

  function drawLook(inspection) {
    const view = picture(inspection);
    look.replaceChildren(
      el(
        "a",
        { class: "cover", href: `#inspection/${inspection.id}`, "aria-label": "Open the last picture" },
        view.node,
      ),
      el(
        "p",
        { class: "caption" },
        el("span", {}, inspection.name || "without a name"),
        el(
          "span",
          { class: "soft" },
          inspection.job ? `job ${inspection.job}` : `${inspection.width} × ${inspection.height}`,
        ),
      ),
    );
  }

  function tile(row) {
    const { inspection } = row;
    const known = tiles.get(inspection.id);
    if (known) return known;
    const { word: text } = shown(inspection.verdict);
    const made = el(
      "li",
      {},
      el(
        "a",
        {
          href: `#inspection/${inspection.id}`,
          "aria-label": `${text}, ${inspection.product ?? "unknown product"}, ${format.clock(inspection.time)}`,
        },
        thumbnail(inspection),
        chip(inspection.verdict),
        el("span", { class: "small soft number" }, format.moment(inspection.time, stationTime())),
      ),
    );
    tiles.set(inspection.id, made);
    return made;
  }

  function drawStrip(rows) {
    const ids = new Set(rows.map((row) => row.inspection.id));
    for (const id of tiles.keys()) if (!ids.has(id)) tiles.delete(id);
    const focused = document.activeElement;
    strip.replaceChildren(...rows.map(tile));
    if (strip.contains(focused)) focused.focus({ preventScroll: true });
  }

  function drawNumbers(state) {
    const hour = state.last_hour;
    const total = sum(hour);
    const rows = VERDICTS.filter((verdict) => verdict !== "NONE" || hour.NONE > 0).map((verdict) =>
      el(
        "li",
        {},
        chip(verdict),
        el("strong", { class: "number" }, format.count(hour[verdict])),
        el("span", { class: "soft number" }, format.percent(hour[verdict], total)),
      ),
    );
    const figure = (value, name) => el("div", {}, el("dd", { class: "number" }, value), el("dt", {}, name));
    numbers.replaceChildren(
      el(
        "div",
        { class: "card-head" },
        el("h2", {}, "Last hour"),
        el("p", { class: "soft number" }, `${format.count(total)} pictures`),
      ),
      total > 0 ? shareBar(hour) : el("p", { class: "soft" }, "No picture in the last hour."),
      el(
        "div",
        { class: "two" },
        el("ul", { class: "counts" }, rows),
        el(
          "dl",
          { class: "figures" },
          figure(format.decimal(state.per_minute), "a minute"),
          figure(format.count(sum(state.today)), "today"),
          figure(state.milliseconds === null ? "–" : format.decimal(state.milliseconds, 0), "ms a picture"),
        ),
      ),
      state.waiting > 0 &&
        el(
          "a",
          { class: "button wide", href: "#review" },
          icon("queue"),
          `${format.count(state.waiting)} wait for review`,
        ),
    );
  }

  return {
    async tick(state) {
      const { rows } = await call(query("api/inspections", { limit: STRIP }), { signal });
      silentNow = false;
      body.hidden = rows.length === 0;
      nothing.hidden = rows.length > 0;
      drawNumbers(state);
      if (rows.length === 0) return;
      const { inspection } = rows[0];
      age.textContent = format.ago(inspection.time, stationTime());
      const key = rows[0].sequence;
      if (hero.classList.contains("silent") || key !== newest) drawHero(inspection);
      if (key === newest) return;
      newest = key;
      drawLook(inspection);
      drawStrip(rows);
    },
    silent() {
      if (silentNow) return;
      silentNow = true;
      hero.className = "hero silent";
      word.textContent = "NO ANSWER";
      word.classList.add("long");
      symbol.replaceChildren(icon("offline"));
      line.textContent = "Verdicts may be missing. Do not rely on this screen.";
      age.textContent = "";
    },
  };
}

function welcome() {
  return empty(
    "picture",
    "No picture has come yet",
    el("p", {}, "The station is ready. Send it a picture from the line:"),
    el("pre", {}, el("code", {}, example())),
    el(
      "p",
      { class: "soft" },
      "Or start it with --watch FOLDER, and it inspects what a camera writes there. ",
      el("a", { href: "#calls" }, "All calls"),
      ".",
    ),
  );
}

// A picture chosen on this device is inspected like one from the line.
function sender(refresh) {
  const input = el("input", {
    type: "file",
    id: "send",
    class: "hidden",
    accept: "image/*,.tif,.tiff,.bmp",
    multiple: true,
    tabindex: "-1",
    "aria-hidden": "true",
  });
  const press = el(
    "button",
    {
      type: "button",
      class: "plain",
      on: {
        click: () => {
          if (may("inspect")) input.click();
          else say("The token of this screen may not inspect.", { bad: true });
        },
      },
    },
    icon("upload"),
    "Inspect a picture of this device",
  );
  input.addEventListener("change", async () => {
    const form = new FormData();
    for (const file of input.files) form.append("pictures", file, file.name);
    input.value = "";
    press.disabled = true;
    try {
      const { results } = await call("inspect", { method: "POST", form, wait: 120000 });
      const bad = results.find((result) => result.error);
      if (bad) say(bad.error, { bad: true });
      else if (results.length === 1 && results[0].stored)
        location.hash = `#inspection/${results[0].inspection.id}`;
      else say(`${results.length} pictures were inspected.`);
      refresh();
    } catch (error) {
      say(error.message, { bad: true });
    } finally {
      press.disabled = false;
    }
  });
  return el("div", { class: "sender" }, input, press);
}
