// Review: the pictures that wait for a person, the oldest first; keys G, D, arrows and U.

import { call } from "./api.js";
import { answer } from "./answer.js";
import { hush, knownWho, say, who } from "./dialog.js";
import { button, el, empty, facts, icon } from "./dom.js";
import * as format from "./format.js";
import { gauge } from "./gauge.js";
import { markPanel } from "./marks.js";
import { may, stationTime } from "./now.js";
import { controls, picture } from "./picture.js";
import { chip } from "./verdict.js";

const LIMIT = 50;

export function open(root, { signal, refresh }) {
  let queue = []; // rows that wait
  let place = 0;
  let done = []; // answered here: {row, review}, the last one at the end
  let back = null; // answered picture that came back to be answered anew
  let current = null; // {row, panel, note}
  let sending = false;
  let asked = null; // number that waits when the queue was fetched
  const stage = el("div", {});
  const progress = el("p", { class: "soft number", "aria-live": "polite" });
  const person = el("span", {});
  root.append(
    el(
      "div",
      { class: "heading" },
      el("div", {}, el("h1", {}, "Review"), progress),
      el("div", { class: "actions" }, person),
    ),
    stage,
  );
  drawPerson();

  async function load() {
    const { rows, waiting } = await call(`api/waiting?limit=${LIMIT}`, { signal });
    asked = waiting;
    const gone = new Set(done.map(({ row }) => row.inspection.id));
    const here = current?.row;
    queue = rows.filter((row) => !gone.has(row.inspection.id));
    if (here && !back) {
      // The picture in view never changes under a person's hand, even if somebody else has answered it.
      const found = queue.findIndex((row) => row.inspection.id === here.inspection.id);
      if (found >= 0) place = found;
      else if (gone.has(here.inspection.id)) place = 0;
      else {
        place = 0;
        queue.unshift(here);
      }
    }
    draw();
  }

  function wanted() {
    return back?.row ?? queue[place] ?? null;
  }

  function draw() {
    const row = wanted();
    const left = Math.max(asked ?? 0, queue.length);
    progress.textContent = row
      ? `${back ? "Answering again" : `${place + 1} of ${format.count(left)}`} · the oldest first`
      : "Nothing waits";
    if (row && current?.row.inspection.id === row.inspection.id && current.back === back) return;
    if (!row) {
      current = null;
      stage.replaceChildren(nothing(), undoLine());
      return;
    }
    const { inspection } = row;
    const shown = picture(inspection);
    const panel = markPanel(shown, inspection);
    const note = el("textarea", {
      id: "note",
      maxlength: 2000,
      rows: 2,
      placeholder: "Such as: scratch from the gripper",
    });
    current = { row, panel, note, back };
    const allowed = may("review");
    stage.replaceChildren(
      el(
        "div",
        { class: "work" },
        el(
          "section",
          { class: "card picture-card", "aria-label": "Picture" },
          shown.node,
          controls(shown, inspection, panel.tool),
        ),
        el(
          "section",
          { class: "card side", "aria-label": "Your answer" },
          el(
            "div",
            { class: "side-head" },
            chip(inspection.verdict),
            el("h2", {}, inspection.product ?? "Unknown product"),
            el(
              "p",
              { class: "soft" },
              inspection.reason ?? "",
              inspection.reason ? ", " : "",
              format.moment(inspection.time, stationTime()),
            ),
          ),
          back &&
            el(
              "p",
              { class: "earlier" },
              icon("undo"),
              `You said ${back.review.answer}. A new answer counts in its place; both are kept.`,
            ),
          el(
            "div",
            { class: "answers" },
            button("Good", () => give("good"), {
              symbol: "pass",
              key: "g",
              class: "answer pass",
              disabled: !allowed,
            }),
            button("Defective", () => give("defective"), {
              symbol: "fail",
              key: "d",
              class: "answer fail",
              disabled: !allowed,
            }),
          ),
          !allowed && el("p", { class: "error" }, "The token of this screen may look, but not answer."),
          el(
            "div",
            { class: "steps" },
            button("", () => step(-1), {
              symbol: "left",
              class: "square",
              "aria-label": "Previous picture",
              "aria-keyshortcuts": "ArrowLeft",
            }),
            button("", () => step(1), {
              symbol: "right",
              class: "square",
              "aria-label": "Next picture",
              "aria-keyshortcuts": "ArrowRight",
            }),
            button("Undo", undo, { symbol: "undo", key: "u", disabled: done.length === 0 && !back }),
          ),
          panel.node,
          el("div", {}, el("label", { for: "note" }, "Note"), note),
          gauge(inspection),
          facts([
            ["Name", inspection.name],
            ["Job", inspection.job],
            ["Result", el("a", { href: `#inspection/${inspection.id}` }, "All about this picture")],
          ]),
        ),
      ),
    );
  }

  function nothing() {
    if (asked === null) return el("p", { class: "soft" }, "Looking for pictures that wait…");
    return empty(
      "pass",
      "Nothing waits for you",
      el(
        "p",
        {},
        "FAIL and REVIEW come here by themselves. Each answer makes the figures of the model more certain.",
      ),
      el("p", { class: "soft" }, el("a", { href: "#model" }, "What the answers say so far")),
    );
  }

  function undoLine() {
    return (
      done.length > 0 &&
      el("div", { class: "center" }, button("Undo the last answer", undo, { symbol: "undo", key: "u" }))
    );
  }

  async function give(choice) {
    if (sending || !current || !may("review")) return;
    sending = true;
    const { row, panel, note } = current;
    try {
      const review = await answer(row.inspection, choice, { note: note.value.trim(), marks: panel.marks });
      if (!review) return;
      done = [...done.filter((old) => old.row !== row), { row, review }].slice(-LIMIT);
      if (!back) asked = Math.max(0, asked - 1);
      back = null;
      queue = queue.filter((other) => other.inspection.id !== row.inspection.id);
      place = Math.min(place, Math.max(0, queue.length - 1));
      say(`${row.inspection.product ?? "Picture"}: ${choice}.`, { action: undo, label: "Undo" });
      drawPerson();
      draw();
      if (queue.length < 5) load().catch(() => {});
      refresh();
    } finally {
      sending = false;
    }
  }

  function undo() {
    if (sending || done.length === 0) return;
    back = done.at(-1);
    done = done.slice(0, -1);
    draw();
  }

  function step(by) {
    if (sending) return;
    if (back) {
      done = [...done, back];
      back = null;
    } else {
      place = Math.min(queue.length - 1, Math.max(0, place + by));
    }
    draw();
  }

  function drawPerson() {
    const name = knownWho() ?? null;
    person.replaceChildren(
      button(
        name ?? "Who are you?",
        async () => {
          await who({ change: true });
          drawPerson();
        },
        {
          symbol: "person",
          class: "plain",
          "aria-label": name ? `You answer as ${name}. Change the name` : "Say who answers",
        },
      ),
    );
  }

  document.addEventListener(
    "keydown",
    (event) => {
      const typing = event.target.closest?.("input, textarea, select, dialog");
      if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      const action = {
        g: () => give("good"),
        d: () => give("defective"),
        u: undo,
        arrowleft: () => step(-1),
        arrowright: () => step(1),
      }[event.key.toLowerCase()];
      if (!action) return;
      event.preventDefault();
      action();
    },
    { signal },
  );

  draw();
  return {
    close: hush, // its Undo belongs to this view
    async tick(state) {
      if (!sending && state.waiting !== asked) await load();
    },
  };
}
