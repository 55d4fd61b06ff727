// Real life by week: what people's answers say about the model, with intervals.

import { download } from "./api.js";
import { say } from "./dialog.js";
import { button, el } from "./dom.js";
import * as format from "./format.js";

function share({ count, of, low, high }) {
  if (!of) return el("span", { class: "soft" }, "not known yet");
  return el(
    "span",
    {},
    el("strong", {}, format.percent(count, of)),
    el(
      "span",
      { class: "soft small block nowrap" },
      `${format.percent(low).replace(" %", "")}–${format.percent(high)}`,
    ),
    el("span", { class: "soft small block nowrap" }, `${format.count(count)} of ${format.count(of)}`),
  );
}

export function weekCard(weeks) {
  const keep = button(
    "Reviewed pictures",
    async () => {
      keep.disabled = true;
      say("The pictures are being packed. This can take a while.");
      try {
        await download("api/reviewed.zip", "reviewed.zip");
      } catch (error) {
        say(error.message, { bad: true });
      }
      keep.disabled = false;
    },
    { symbol: "download" },
  );
  const head = (text, classes = null) => el("th", { scope: "col", class: classes }, text);
  const table = () =>
    el(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Weeks" },
      el(
        "table",
        { class: "weeks" },
        el("caption", { class: "hidden" }, "Real life by week"),
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            head("Week"),
            head("Inspected", "end"),
            head("REVIEW and FAIL", "end"),
            head("Answered", "end"),
            head("Found", "end"),
            head("False alarms", "end"),
            head("Missed", "end"),
          ),
        ),
        el(
          "tbody",
          {},
          weeks.map((week) =>
            el(
              "tr",
              {},
              el("th", { scope: "row", class: "number" }, week.week),
              el("td", { class: "end" }, format.count(week.inspected)),
              el("td", { class: "end" }, format.percent(week.alarms.count, week.alarms.of)),
              el("td", { class: "end" }, format.count(week.reviewed)),
              el("td", { class: "end" }, share(week.found)),
              el("td", { class: "end" }, share(week.false_alarms)),
              el("td", { class: "end" }, share(week.missed)),
            ),
          ),
        ),
      ),
    );
  return el(
    "section",
    { class: "card", "aria-label": "In real life" },
    el("div", { class: "card-head" }, el("h2", {}, "In real life"), keep),
    el(
      "p",
      { class: "soft" },
      "As far as people have answered, with 95 % intervals. Found and false alarms: the answered REVIEW and " +
        "FAIL that were defective, and that were good. Missed: the answered PASS that were defective. " +
        "Reviewed pictures come as a data set for understudy calibrate.",
    ),
    weeks.length > 0
      ? table()
      : el("p", {}, "No answers yet. ", el("a", { href: "#review" }, "Begin in Review"), "."),
  );
}
