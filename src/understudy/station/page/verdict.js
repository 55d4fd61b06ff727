// A verdict as a word, a shape and a colour; never as a colour alone.

import { el, icon } from "./dom.js";

export const VERDICTS = ["PASS", "REVIEW", "FAIL", "NONE"];

const SHOWN = {
  PASS: { kind: "pass", word: "PASS" },
  REVIEW: { kind: "review", word: "REVIEW" },
  FAIL: { kind: "fail", word: "FAIL" },
  NONE: { kind: "none", word: "NO VERDICT" },
};

export function shown(verdict) {
  return SHOWN[verdict ?? "NONE"] ?? SHOWN.NONE;
}

export function chip(verdict) {
  const { kind, word } = shown(verdict);
  return el("span", { class: `chip ${kind}` }, icon(kind), word);
}

export function answerChip(review) {
  if (!review) return null;
  const kind = review.answer === "good" ? "pass" : "fail";
  return el(
    "span",
    { class: `chip outline ${kind}` },
    icon("person"),
    review.answer === "good" ? "Good" : "Defective",
  );
}

// Bar of the shares of PASS, REVIEW, FAIL and NONE; words and counts stand beside it.
export function shareBar(counts) {
  const total = VERDICTS.reduce((sum, verdict) => sum + (counts[verdict] ?? 0), 0);
  const parts = VERDICTS.filter((verdict) => counts[verdict]).map((verdict) =>
    el("span", {
      class: `part ${shown(verdict).kind}`,
      css: { "flex-grow": String(counts[verdict] / total) },
    }),
  );
  return el("div", { class: "share-bar", "aria-hidden": "true" }, parts);
}

export function sum(counts) {
  return VERDICTS.reduce((total, verdict) => total + (counts?.[verdict] ?? 0), 0);
}
