// History: every inspection, newest first, with filters; the filters are part of the address.

import { call, query } from "./api.js";
import { button, el, empty, heading, icon } from "./dom.js";
import * as format from "./format.js";
import { now, stationTime } from "./now.js";
import { thumbnail } from "./picture.js";
import { answerChip, chip } from "./verdict.js";

const LIMIT = 50;
const TYPING = 300; // milliseconds without a key until the search begins

let products = [];

export function open(root, { signal, search }) {
  const filters = read(search);
  const pages = [null]; // sequence that each page begins below; the last one is shown
  const results = el("div", { "aria-live": "polite", "aria-busy": "true" });
  const form = filterForm(filters, load);
  root.append(heading("History", "Every inspection that this station has kept."), form, results);

  async function load(fresh = true) {
    if (fresh) pages.splice(0, pages.length, null);
    history.replaceState(null, "", query("#history", filters));
    results.setAttribute("aria-busy", "true");
    try {
      const asked = { ...filters, since: instant(filters.since), until: instant(filters.until) };
      const found = await call(query("api/inspections", { limit: LIMIT, before: pages.at(-1), ...asked }), {
        signal,
      });
      results.replaceChildren(...table(found), pager(found));
    } catch (error) {
      if (error.name === "AbortError") return;
      results.replaceChildren(
        el("p", { class: "error" }, error.message),
        button("Try again", () => load(false)),
      );
    }
    results.setAttribute("aria-busy", "false");
  }

  function table({ rows }) {
    if (rows.length > 0) return [listing(rows)];
    const filtered = Object.values(filters).some((value) => value.length > 0);
    if (!filtered)
      return [
        empty(
          "history",
          "Nothing has been inspected yet",
          el("p", {}, "Each inspection appears here as soon as it is kept."),
        ),
      ];
    return [
      empty(
        "search",
        "No inspection fits these filters",
        el("p", {}, "Widen the time, or take a filter away."),
        button("Take all filters away", () => {
          location.hash = "#history";
          dispatchEvent(new HashChangeEvent("hashchange"));
        }),
      ),
    ];
  }

  function pager({ rows, next }) {
    const newer = button(
      "Newer",
      () => {
        pages.pop();
        load(false);
      },
      { symbol: "left", disabled: pages.length === 1 },
    );
    const older = button(
      "Older",
      () => {
        pages.push(next);
        load(false);
      },
      { symbol: "right", disabled: next === null },
    );
    return el(
      "nav",
      { class: "pager", "aria-label": "Pages", hidden: rows.length === 0 && pages.length === 1 },
      newer,
      el("span", { class: "soft number" }, `Page ${pages.length}`),
      older,
    );
  }

  load(false);
  return {
    tick(state) {
      if (state.model.products.join() === products.join()) return;
      products = state.model.products;
      form.querySelector("#f-product").replaceChildren(...productOptions(filters.product));
    },
  };
}

function read(search) {
  return {
    verdict: search.getAll("verdict"),
    product: search.get("product") ?? "",
    text: search.get("text") ?? "",
    answered: search.get("answered") ?? "",
    since: search.get("since") ?? "",
    until: search.get("until") ?? "",
  };
}

function instant(local) {
  const time = local ? new Date(local) : null;
  return time && !Number.isNaN(time.getTime()) ? time.toISOString() : "";
}

function productOptions(chosen) {
  const names = chosen && !products.includes(chosen) ? [...products, chosen] : products;
  return [
    el("option", { value: "" }, "All products"),
    ...names.map((name) => el("option", { value: name, selected: name === chosen }, name)),
  ];
}

function filterForm(filters, load) {
  let typing = null;
  const set = (name) => (event) => {
    filters[name] = event.target.value;
    load();
  };
  const toggles = ["FAIL", "REVIEW", "PASS"].map((verdict) =>
    el(
      "button",
      {
        type: "button",
        class: "toggle",
        "aria-pressed": String(filters.verdict.includes(verdict)),
        on: {
          click: (event) => {
            const on = !filters.verdict.includes(verdict);
            filters.verdict = on
              ? [...filters.verdict, verdict]
              : filters.verdict.filter((other) => other !== verdict);
            event.currentTarget.setAttribute("aria-pressed", String(on));
            load();
          },
        },
      },
      icon(verdict.toLowerCase()),
      verdict,
    ),
  );
  const field = (name, label, node) =>
    el("div", { class: `field ${name}` }, el("label", { for: `f-${name}` }, label), node);
  const text = el("input", {
    id: "f-text",
    type: "search",
    placeholder: "Name, job, id or reason",
    value: filters.text,
    on: {
      input: (event) => {
        clearTimeout(typing);
        filters.text = event.target.value;
        typing = setTimeout(load, TYPING);
      },
    },
  });
  const answered = el(
    "select",
    { id: "f-answered", on: { change: set("answered") } },
    [
      ["", "Reviewed or not"],
      ["true", "Reviewed"],
      ["false", "Not reviewed"],
    ].map(([value, label]) => el("option", { value, selected: value === filters.answered }, label)),
  );
  return el(
    "form",
    {
      class: "filters card",
      role: "search",
      "aria-label": "Filters",
      on: { submit: (event) => event.preventDefault() },
    },
    field("text", "Search", text),
    el("fieldset", { class: "field" }, el("legend", {}, "Verdict"), el("div", { class: "toggles" }, toggles)),
    field(
      "product",
      "Product",
      el("select", { id: "f-product", on: { change: set("product") } }, productOptions(filters.product)),
    ),
    field("answered", "Review", answered),
    field(
      "since",
      "From",
      el("input", {
        id: "f-since",
        type: "datetime-local",
        value: filters.since,
        on: { change: set("since") },
      }),
    ),
    field(
      "until",
      "To",
      el("input", {
        id: "f-until",
        type: "datetime-local",
        value: filters.until,
        on: { change: set("until") },
      }),
    ),
  );
}

function listing(rows) {
  const line = ({ inspection, review }) =>
    el(
      "tr",
      {},
      el("td", { class: "thumb-cell" }, thumbnail(inspection, 120)),
      el(
        "td",
        {},
        el(
          "a",
          { class: "row-link number", href: `#inspection/${inspection.id}` },
          format.moment(inspection.time, stationTime()),
        ),
      ),
      el("td", {}, chip(inspection.verdict)),
      el("td", {}, inspection.product ?? el("span", { class: "soft" }, "unknown")),
      el("td", { class: "end" }, format.score(inspection.score)),
      el(
        "td",
        { class: "wide-only name-cell" },
        inspection.name || "–",
        inspection.job && el("span", { class: "soft small" }, ` job ${inspection.job}`),
      ),
      el("td", {}, answerChip(review) ?? el("span", { class: "soft" }, "–")),
    );
  return el(
    "div",
    { class: "card flush" },
    el(
      "table",
      { class: "rows" },
      el(
        "caption",
        { class: "hidden" },
        `Inspections, newest first${now.state ? `, of ${now.state.station}` : ""}`,
      ),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("td", {}),
          el("th", { scope: "col" }, "Time"),
          el("th", { scope: "col" }, "Verdict"),
          el("th", { scope: "col" }, "Product"),
          el("th", { scope: "col", class: "end" }, "Score"),
          el("th", { scope: "col", class: "wide-only" }, "Picture"),
          el("th", { scope: "col" }, "Review"),
        ),
      ),
      el("tbody", {}, rows.map(line)),
    ),
  );
}
