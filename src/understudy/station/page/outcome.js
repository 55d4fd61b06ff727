// What other thresholds would have done to the kept history, beside what those in force did.

import { el, icon } from "./dom.js";
import * as format from "./format.js";
import { shareBar, sum } from "./verdict.js";

export function outcome({ n, now: before, then: after, reviewed }) {
  if (n === 0)
    return [
      el(
        "p",
        { class: "soft" },
        "No picture of this product was inspected in this time. Choose a longer time.",
      ),
    ];
  const line = (verdict) => {
    const change = (after[verdict] ?? 0) - (before[verdict] ?? 0);
    const sign = change > 0 ? `+${format.count(change)}` : change < 0 ? `−${format.count(-change)}` : "same";
    return el(
      "tr",
      {},
      el(
        "th",
        { scope: "row" },
        el("span", { class: `chip ${verdict.toLowerCase()}` }, icon(verdict.toLowerCase()), verdict),
      ),
      el("td", { class: "end" }, format.count(before[verdict] ?? 0)),
      el("td", { class: "end" }, el("strong", {}, format.count(after[verdict] ?? 0))),
      el("td", { class: "end soft" }, sign),
    );
  };
  const bar = (name, counts) =>
    el("div", { class: "compare" }, el("span", { class: "soft small" }, name), shareBar(counts));
  const moved = (before, after, whole) =>
    whole === 0
      ? [el("span", { class: "soft" }, "none answered yet")]
      : [`${format.count(before)} → `, el("strong", {}, format.count(after)), ` of ${format.count(whole)}`];
  const people = reviewed.defective + reviewed.good > 0;
  return [
    el("p", { class: "soft number" }, `${format.count(Math.max(n, sum(before)))} pictures`),
    bar("Now", before),
    bar("Then", after),
    el(
      "table",
      { class: "small-table" },
      el("caption", { class: "hidden" }, "Verdicts now and then"),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("th", { scope: "col" }, "Verdict"),
          el("th", { scope: "col", class: "end" }, "Now"),
          el("th", { scope: "col", class: "end" }, "Then"),
          el("th", { scope: "col", class: "end" }, "Change"),
        ),
      ),
      el("tbody", {}, ["PASS", "REVIEW", "FAIL"].map(line)),
    ),
    el("h3", {}, "By the pictures that a person has answered"),
    people
      ? el(
          "dl",
          { class: "outcomes" },
          el(
            "div",
            {},
            el("dt", {}, "Defective ones that FAIL or REVIEW"),
            el(
              "dd",
              { class: "number" },
              moved(reviewed.defective_found_now, reviewed.defective_found_then, reviewed.defective),
            ),
          ),
          el(
            "div",
            {},
            el("dt", {}, "Good ones that FAIL"),
            el(
              "dd",
              { class: "number" },
              moved(reviewed.good_failed_now, reviewed.good_failed_then, reviewed.good),
            ),
          ),
        )
      : el(
          "p",
          { class: "soft" },
          "None yet. ",
          el("a", { href: "#review" }, "Answer some in Review"),
          ", and this says how many defects are found and how many good ones fail.",
        ),
  ];
}
