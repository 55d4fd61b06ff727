// Score of a picture on a line from good to defective, with both thresholds.

import { el, svg } from "./dom.js";
import * as format from "./format.js";

const WIDTH = 1000;

export function gauge({ score, review_above: review, fail_above: fail }) {
  if (score === null || fail === null || review === null) return null;
  const reach = Math.max(fail - review, 0.25 * Math.abs(fail), 1e-6);
  const low = Math.min(score, 0, review - 2 * reach);
  const high = Math.max(score, fail + 2 * reach);
  const pad = 0.04 * (high - low);
  const at = (value) => (WIDTH * (value - low + pad)) / (high - low + 2 * pad);
  const zone = (from, to, kind) =>
    svg("rect", { class: `zone ${kind}`, x: from, y: 15, width: Math.max(0, to - from), height: 14 });
  return el(
    "figure",
    { class: "gauge" },
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} 44`, preserveAspectRatio: "none", "aria-hidden": "true" },
      zone(0, at(review), "pass"),
      zone(at(review), at(fail), "review"),
      zone(at(fail), WIDTH, "fail"),
      svg("line", { class: "pointer", x1: at(score), x2: at(score), y1: 4, y2: 40 }),
    ),
    el(
      "figcaption",
      {},
      [
        ["Score", score],
        ["REVIEW above", review],
        ["FAIL above", fail],
      ].map(([name, value]) => el("span", {}, `${name} `, el("strong", {}, format.score(value)))),
    ),
  );
}
