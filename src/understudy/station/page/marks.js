// Lets a person draw boxes on a picture, by mouse, pen or finger; boxes are in pixels of the picture.

import { el, icon, svg } from "./dom.js";
import { boxes } from "./picture.js";

const LEAST = 6; // pixels of the screen; a shorter drag is a click
const MOST = 100;

export function marker(shown, inspection, changed) {
  const { width, height } = inspection;
  const { frame, layer } = shown;
  let marks = [];
  let from = null;
  const drawn = svg("g", {});
  const draft = svg("rect", { class: "draft", hidden: true, width: 0, height: 0 });
  layer.append(drawn, draft);
  frame.classList.add("drawable");

  function point(event) {
    const box = layer.getBoundingClientRect();
    const clamp = (value, most) => Math.min(most, Math.max(0, value));
    return {
      x: clamp((width * (event.clientX - box.left)) / box.width, width),
      y: clamp((height * (event.clientY - box.top)) / box.height, height),
      screenX: event.clientX,
      screenY: event.clientY,
    };
  }

  function between(one, other) {
    const left = Math.min(width - 1, Math.floor(Math.min(one.x, other.x)));
    const top = Math.min(height - 1, Math.floor(Math.min(one.y, other.y)));
    return {
      left,
      top,
      right: Math.max(left + 1, Math.ceil(Math.max(one.x, other.x))),
      bottom: Math.max(top + 1, Math.ceil(Math.max(one.y, other.y))),
    };
  }

  function draw() {
    drawn.replaceChildren(boxes(inspection, "marked", marks));
    changed(marks);
  }

  function finish(event, keep) {
    if (!from || event.pointerId !== from.pointerId) return;
    const to = point(event);
    const far = Math.hypot(to.screenX - from.screenX, to.screenY - from.screenY) >= LEAST;
    const begun = from;
    from = null;
    draft.setAttribute("hidden", "");
    if (!keep || !far || marks.length >= MOST) return;
    marks = [...marks, between(begun, to)];
    draw();
  }

  frame.addEventListener("pointerdown", (event) => {
    const finger = event.pointerType === "touch";
    if (event.button !== 0 || from || (finger && !frame.classList.contains("touch"))) return;
    event.preventDefault();
    frame.setPointerCapture(event.pointerId);
    from = { ...point(event), pointerId: event.pointerId };
  });
  frame.addEventListener("pointermove", (event) => {
    if (!from || event.pointerId !== from.pointerId) return;
    const { left, top, right, bottom } = between(from, point(event));
    for (const [name, value] of Object.entries({
      x: left,
      y: top,
      width: right - left,
      height: bottom - top,
    }))
      draft.setAttribute(name, value);
    draft.removeAttribute("hidden");
  });
  frame.addEventListener("pointerup", (event) => finish(event, true));
  frame.addEventListener("pointercancel", (event) => finish(event, false));

  return {
    get marks() {
      return marks;
    },
    add(more) {
      marks = [...marks, ...more].slice(0, MOST);
      draw();
    },
    remove(place) {
      marks = marks.filter((_, i) => i !== place);
      draw();
    },
    touch(on) {
      frame.classList.toggle("touch", on);
    },
  };
}

// The switch to draw by finger (for below the picture), the model's boxes to take, and marks to remove.
export function markPanel(shown, inspection) {
  const chips = el("ul", { class: "marks" });
  const panel = marker(shown, inspection, draw);
  const touch = el(
    "button",
    {
      type: "button",
      "aria-pressed": "false",
      on: {
        click: () => {
          const on = touch.getAttribute("aria-pressed") !== "true";
          touch.setAttribute("aria-pressed", String(on));
          panel.touch(on);
        },
      },
    },
    icon("mark"),
    "Draw",
  );
  const take =
    inspection.regions.length > 0 &&
    el(
      "button",
      {
        type: "button",
        on: {
          click: () => {
            panel.add(
              inspection.regions.map(({ left, top, right, bottom }) => ({ left, top, right, bottom })),
            );
          },
        },
      },
      "Take the model's boxes",
    );

  function draw(marks) {
    chips.replaceChildren(
      ...marks.map((mark, i) =>
        el(
          "li",
          {},
          el(
            "button",
            {
              type: "button",
              class: "mark-chip",
              "aria-label": `Remove mark ${i + 1}`,
              on: { click: () => panel.remove(i) },
            },
            el(
              "span",
              { class: "number" },
              `Mark ${i + 1}: ${mark.right - mark.left} × ${mark.bottom - mark.top}`,
            ),
            icon("close"),
          ),
        ),
      ),
    );
  }

  const node = el(
    "div",
    { class: "mark-panel" },
    el("p", { class: "label" }, "Where is the defect? (if you like)"),
    el(
      "p",
      { class: "soft small" },
      "Draw a box on the picture with the mouse; with a finger, choose Draw first.",
    ),
    take && el("div", { class: "mark-buttons" }, take),
    chips,
  );
  return {
    node,
    tool: touch,
    get marks() {
      return panel.marks;
    },
  };
}
