// One inspection: picture and heat map, why it got its verdict, and what people said.

import { call } from "./api.js";
import { answer } from "./answer.js";
import { say } from "./dialog.js";
import { button, el, empty, facts, icon } from "./dom.js";
import * as format from "./format.js";
import { gauge } from "./gauge.js";
import { markPanel } from "./marks.js";
import { may } from "./now.js";
import { boxes, controls, picture } from "./picture.js";
import { answerChip, chip } from "./verdict.js";

export function open(root, { id, signal, refresh }) {
  async function load() {
    try {
      const { inspection, reviews } = await call(`api/inspections/${encodeURIComponent(id)}`, { signal });
      draw(inspection, reviews);
    } catch (error) {
      if (error.name === "AbortError") return;
      root.replaceChildren(
        el("h1", { class: "hidden" }, "Inspection"),
        empty(
          "search",
          error.status === 404 ? "There is no such inspection" : "It cannot be shown",
          el("p", {}, error.message),
          el("p", {}, el("a", { href: "#history" }, "Back to History")),
        ),
      );
    }
  }

  function draw(inspection, reviews) {
    const shown = picture(inspection);
    const last = reviews.at(-1);
    if (last?.marks.length) shown.layer.append(boxes(inspection, "marked kept", last.marks));
    const panel = may("review") ? markPanel(shown, inspection) : null;
    const note = el("textarea", { id: "note", maxlength: 2000, rows: 2 });

    async function give(choice) {
      const review = await answer(inspection, choice, { note: note.value.trim(), marks: panel?.marks ?? [] });
      if (!review) return;
      say(`Your answer is kept: ${choice}.`);
      await load();
      refresh();
    }

    root.replaceChildren(
      el(
        "div",
        { class: "heading" },
        el(
          "div",
          { class: "title" },
          el(
            "a",
            {
              class: "button square plain",
              href: "#history",
              "aria-label": "Back to History",
              on: {
                click: (event) => {
                  if (window.history.length < 2) return;
                  event.preventDefault();
                  window.history.back();
                },
              },
            },
            icon("left"),
          ),
          el(
            "div",
            {},
            el("h1", {}, inspection.product ?? "Unknown product"),
            el(
              "p",
              {},
              `${format.whole(inspection.time)}${inspection.job ? ` · job ${inspection.job}` : ""}`,
            ),
          ),
        ),
        chip(inspection.verdict),
      ),
      el(
        "div",
        { class: "work one" },
        el(
          "section",
          { class: "card picture-card", "aria-label": "Picture" },
          shown.node,
          controls(shown, inspection, panel?.tool),
        ),
        el(
          "div",
          { class: "side-cards" },
          el(
            "section",
            { class: "card", "aria-label": "Why" },
            el("h2", {}, "Why"),
            el("p", { class: "why" }, why(inspection)),
            gauge(inspection),
          ),
          el(
            "section",
            { class: "card", "aria-label": "Reviews" },
            el("h2", {}, "Reviews"),
            reviewList(reviews),
            may("review") &&
              el(
                "div",
                { class: "answers" },
                button("Good", () => give("good"), { symbol: "pass", class: "answer pass" }),
                button("Defective", () => give("defective"), { symbol: "fail", class: "answer fail" }),
              ),
            panel?.node,
            may("review") && el("div", {}, el("label", { for: "note" }, "Note"), note),
          ),
        ),
        el(
          "section",
          { class: "card record", "aria-label": "Record" },
          el("h2", {}, "Record"),
          record(inspection),
        ),
      ),
    );
  }

  root.append(el("h1", { class: "hidden" }, "Inspection"));
  load();
  return {};
}

function why(inspection) {
  const { verdict, reason, score, review_above: review, fail_above: fail, regions } = inspection;
  const places =
    regions.length === 1
      ? "One place is marked."
      : regions.length > 1
        ? `${regions.length} places are marked.`
        : "No place is marked.";
  if (reason) return `${verdict ?? "No verdict"}: ${reason}. ${places}`;
  if (verdict === null || fail === null)
    return "The model is not calibrated, so it gives a score and no verdict.";
  if (verdict === "FAIL") return `The score is above the FAIL threshold of ${format.score(fail)}. ${places}`;
  if (verdict === "REVIEW") return `The score lies between both thresholds: a person should look. ${places}`;
  return `The score of ${format.score(score)} is not above the REVIEW threshold of ${format.score(review)}.`;
}

function reviewList(reviews) {
  if (reviews.length === 0) return el("p", { class: "soft" }, "Nobody has looked at this picture yet.");
  return el(
    "ol",
    { class: "reviews" },
    reviews.map((review, i) =>
      el(
        "li",
        { class: i === reviews.length - 1 ? "counts-now" : "" },
        answerChip(review),
        el(
          "div",
          {},
          el("strong", {}, review.who),
          el("span", { class: "soft small" }, ` ${format.moment(review.time)}`),
          review.marks.length > 0 && el("span", { class: "soft small" }, ` · ${review.marks.length} marked`),
          review.note && el("p", { class: "note" }, review.note),
        ),
      ),
    ),
  );
}

function record(inspection) {
  const rate = inspection.false_alarm_rate;
  return facts([
    ["Name", inspection.name],
    ["Job", inspection.job],
    ["Product given", inspection.product_given],
    ["Station", inspection.station],
    ["Size", `${inspection.width} × ${inspection.height} pixels`],
    ["Time taken", `${format.decimal(inspection.milliseconds, 1)} ms`],
    ["Model", `${inspection.model}, version ${inspection.version}`],
    ["Rate of false alarms", rate === null ? null : format.percent(rate)],
    ["Result id", el("code", {}, inspection.id)],
    ["Client's id", inspection.client_id && el("code", {}, inspection.client_id)],
    ["SHA-256 of the picture", el("code", {}, inspection.picture_sha256)],
    ["SHA-256 of the model", el("code", {}, inspection.model_sha256)],
    ["Calibration", inspection.calibration && el("code", {}, inspection.calibration)],
  ]);
}
