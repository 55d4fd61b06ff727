// A kept picture with its heat map above it and boxes around what was found.

import { image } from "./api.js";
import { el, icon, svg } from "./dom.js";

const OPACITY = "understudy.heatmap";

export function pathOf(inspection, what, width = null) {
  const size = width ? `?width=${width}` : "";
  return `api/inspections/${encodeURIComponent(inspection.id)}/${what}${size}`;
}

// Kept on the disk, or one of the last pictures, which the station still holds in memory.
function shows(inspection, what) {
  return Boolean(inspection[what] || inspection.recent);
}

function words(inspection) {
  const found = inspection.regions.length;
  const places = found === 1 ? "one marked place" : `${found} marked places`;
  return `Picture${inspection.product ? ` of ${inspection.product}` : ""}, ${inspection.verdict ?? "no verdict"}, ${places}`;
}

function fetched(node, path) {
  return image(path).then(
    (url) => {
      node.src = url;
    },
    () => false,
  );
}

function missing(text) {
  return el("div", { class: "missing" }, icon("picture"), el("span", {}, text));
}

// Small square for a strip or a table; heat map included.
export function thumbnail(inspection, width = 240) {
  const box = el("span", { class: "thumb" });
  if (!shows(inspection, "picture")) {
    box.append(icon("picture"));
    return box;
  }
  const photo = el("img", { alt: "", class: "photo" });
  box.append(photo);
  fetched(photo, pathOf(inspection, "picture", width)).then(
    (fine) => fine === false && photo.replaceWith(icon("picture")),
  );
  if (shows(inspection, "heatmap")) {
    const heat = el("img", { alt: "", class: "heat" });
    box.append(heat);
    fetched(heat, pathOf(inspection, "heatmap", width)).then((fine) => fine === false && heat.remove());
  }
  return box;
}

export function boxes(inspection, kind, shapes) {
  const { width, height } = inspection;
  return svg(
    "g",
    { class: kind },
    shapes.map(({ left, top, right, bottom }) => [
      svg("rect", {
        class: "halo",
        x: left,
        y: top,
        width: right - left,
        height: bottom - top,
        rx: Math.min(width, height) / 80,
      }),
      svg("rect", {
        class: "edge",
        x: left,
        y: top,
        width: right - left,
        height: bottom - top,
        rx: Math.min(width, height) / 80,
      }),
    ]),
  );
}

// Large picture: {node, frame, layer (SVG in picture pixels), setHeat, setBoxes}.
export function picture(inspection) {
  const { width, height } = inspection;
  const frame = el("div", { class: "frame", css: { "--ratio": String(width / height) } });
  const layer = svg("svg", {
    class: "layer",
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: "none",
    "aria-hidden": "true",
  });
  const found = boxes(inspection, "found", inspection.regions);
  layer.append(found);
  let heat = null;
  if (shows(inspection, "picture")) {
    const photo = el("img", { class: "photo", alt: words(inspection), draggable: "false" });
    frame.append(photo);
    photo.addEventListener("error", () =>
      photo.replaceWith(missing("This browser cannot show the picture's format.")),
    );
    fetched(photo, pathOf(inspection, "picture")).then(
      (fine) => fine === false && photo.replaceWith(missing("The picture is no longer kept.")),
    );
    if (shows(inspection, "heatmap")) {
      heat = el("img", { class: "heat", alt: "", draggable: "false" });
      frame.append(heat);
      fetched(heat, pathOf(inspection, "heatmap")).then((fine) => fine === false && heat.remove());
    }
  } else {
    frame.append(missing("This picture was not kept. FAIL and REVIEW always are, PASS now and then."));
  }
  frame.append(layer);
  const handle = {
    node: el("div", { class: "picture" }, frame),
    frame,
    layer,
    hasHeat: heat !== null,
    setHeat: (share) => heat && heat.style.setProperty("opacity", String(share)),
    setBoxes: (on) => found.classList.toggle("off", !on),
  };
  handle.setHeat(opacity() / 100);
  return handle;
}

function opacity() {
  return Number(localStorage.getItem(OPACITY) ?? 80);
}

// Slider of the heat map and switch of the boxes, for a large picture.
export function controls(shown, inspection, ...tools) {
  const parts = [];
  if (shown.hasHeat) {
    const slider = el("input", {
      id: "heat",
      type: "range",
      min: 0,
      max: 100,
      step: 5,
      value: opacity(),
      on: {
        input: () => {
          localStorage.setItem(OPACITY, slider.value);
          shown.setHeat(slider.value / 100);
        },
      },
    });
    parts.push(el("div", { class: "heat-control" }, el("label", { for: "heat" }, "Heat map"), slider));
  }
  if (inspection.regions.length > 0) {
    const turn = el(
      "button",
      {
        type: "button",
        "aria-pressed": "true",
        on: {
          click: () => {
            const on = turn.getAttribute("aria-pressed") !== "true";
            turn.setAttribute("aria-pressed", String(on));
            shown.setBoxes(on);
          },
        },
      },
      "Boxes",
    );
    parts.push(turn);
  }
  if (shows(inspection, "picture")) {
    const zoom = el(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        on: {
          click: () => {
            const large = zoom.getAttribute("aria-pressed") !== "true";
            zoom.setAttribute("aria-pressed", String(large));
            shown.node.classList.toggle("large", large);
            if (large) shown.node.setAttribute("tabindex", "0");
            else shown.node.removeAttribute("tabindex");
          },
        },
      },
      icon("zoom"),
      "Zoom",
    );
    parts.push(zoom);
  }
  return el("div", { class: "picture-controls" }, parts, tools);
}
