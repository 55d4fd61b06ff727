// Frame of the page: which view is open, the state of the station, and its token.

import { call, token } from "./api.js";
import { ask } from "./dialog.js";
import { el, icon } from "./dom.js";
import * as format from "./format.js";
import { now } from "./now.js";
import { poll } from "./poll.js";
import * as calls from "./calls.js";
import * as drift from "./drift.js";
import * as history from "./history.js";
import * as inspection from "./inspection.js";
import * as live from "./live.js";
import * as model from "./model.js";
import * as review from "./review.js";
import * as thresholds from "./thresholds.js";

const VIEWS = {
  live: { title: "Live", symbol: "live", view: live },
  review: { title: "Review", symbol: "queue", view: review },
  history: { title: "History", symbol: "history", view: history },
  drift: { title: "Drift", symbol: "drift", view: drift },
  thresholds: { title: "Thresholds", symbol: "thresholds", view: thresholds },
  model: { title: "Model", symbol: "model", view: model },
  inspection: { title: "Inspection", view: inspection, parent: "history" },
  calls: { title: "Calls", view: calls, parent: "model" },
};
const STATES = {
  green: { word: "All is well", symbol: "pass" },
  yellow: { word: "Needs a look", symbol: "review" },
  red: { word: "Not keeping", symbol: "fail" },
  offline: { word: "No answer", symbol: "offline" },
  starting: { word: "Connecting", symbol: "none" },
};

const content = document.getElementById("content");
let open = null; // {name, handle, controller}
let offline = false;
let asking = false;

function place() {
  const [path, search = ""] = location.hash.slice(1).split("?");
  const [name, ...rest] = path.split("/");
  return {
    name: name in VIEWS ? name : "live",
    id: decodeURIComponent(rest.join("/")),
    search: new URLSearchParams(search),
  };
}

function show() {
  const target = place();
  open?.controller.abort();
  open?.handle?.close?.();
  const { title, view, parent } = VIEWS[target.name];
  const moved = open !== null && open.name !== target.name;
  document.title = `${title} · ${now.state?.station ?? "Understudy"}`;
  document.querySelectorAll("#nav a").forEach((link) => {
    const current = link.dataset.view === (parent ?? target.name);
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
  const controller = new AbortController();
  content.replaceChildren();
  content.className = `view-${target.name}`;
  open = { name: target.name, controller, handle: null };
  open.handle = view.open(content, { ...target, signal: controller.signal, refresh: () => beat.now() });
  if (moved) {
    scrollTo(0, 0);
    content.focus({ preventScroll: true });
  }
  if (now.state) open.handle?.tick?.(now.state);
}

function drawNav() {
  const links = Object.entries(VIEWS)
    .filter(([, { symbol }]) => symbol)
    .map(([name, { title, symbol }]) =>
      el("li", {}, el("a", { href: `#${name}`, "data-view": name }, icon(symbol), el("span", {}, title))),
    );
  document.getElementById("nav").append(el("ul", {}, links));
}

function badge(name, value, words, classes = "badge") {
  const link = document.querySelector(`#nav a[data-view="${name}"]`);
  const old = link.querySelector(".badge");
  const text = value > 999 ? "999+" : String(value);
  if (old?.dataset.text === text) return;
  old?.remove();
  if (value > 0)
    link.append(
      el("span", { class: classes, "data-text": text }, text, el("span", { class: "hidden" }, ` ${words}`)),
    );
}

function drawState(kind) {
  const box = document.getElementById("state");
  if (box.dataset.kind === kind) return;
  box.dataset.kind = kind;
  box.className = `state ${kind}`;
  box.replaceChildren(icon(STATES[kind].symbol), el("span", {}, STATES[kind].word));
}

function drawNotice(kind, title, sentences) {
  const box = document.getElementById("notice");
  const key = JSON.stringify([kind, title, sentences]);
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  box.replaceChildren();
  if (!kind) return;
  box.append(
    el(
      "section",
      {
        class: `notice ${kind}`,
        role: kind === "yellow" ? "status" : "alert",
        "aria-label": "State of the station",
      },
      icon(STATES[kind].symbol),
      el(
        "div",
        {},
        el("strong", {}, title),
        el(
          "ul",
          {},
          sentences.map((text) => el("li", {}, text)),
        ),
      ),
    ),
  );
}

function drawAnswer(state) {
  document.getElementById("station-name").textContent = state.station;
  document.getElementById("station-model").textContent =
    `${state.model.name}, version ${state.model.version}`;
  drawState(state.state);
  badge("review", state.waiting, "waiting");
  badge("drift", state.drift_alarms, "alarms", "badge alarm");
  if (state.state === "red") drawReasons(state);
}

function drawReasons(state) {
  // Why it is yellow stands in Live only; why it is red stands everywhere.
  if (state.state === "green" || (state.state === "yellow" && open.name !== "live")) drawNotice(null);
  else
    drawNotice(
      state.state,
      state.state === "red" ? "Inspections are not kept safely" : "The station needs a look",
      state.reasons,
    );
}

function drawSilence() {
  drawState("offline");
  const since = now.answered
    ? `Its last answer came at ${format.clock(now.answered)}. What you see below is old.`
    : "It has not answered yet.";
  drawNotice("offline", "The station does not answer", [since, "The page tries again by itself."]);
}

async function askToken(refusal) {
  if (asking) return;
  asking = true;
  const used = token.get();
  const given = await ask({
    title: "This station asks for a token",
    text: used
      ? `The token that was given does not do: ${refusal.message}.`
      : "Whoever runs the station can give you one. It is forgotten when this tab is closed.",
    field: "Token",
    type: "password",
    ok: "Open",
  });
  if (given) token.set(given);
  asking = false;
  if (given) beat.now().then(show);
}

function heard(state) {
  const first = now.state === null;
  now.offset = new Date(state.time).getTime() - Date.now();
  now.answered = Date.now();
  now.state = state;
  offline = false;
  drawAnswer(state);
  if (first) document.title = `${VIEWS[open.name].title} · ${state.station}`;
}

function unheard(error) {
  if (error.status === 401 || (error.status === 403 && token.get())) {
    drawState("starting");
    askToken(error);
  } else if (error.status === 0) {
    if (!offline) open.handle?.silent?.();
    offline = true;
    drawSilence();
  } else {
    open.handle?.silent?.();
    // A red state has said why already.
    if (now.state?.state !== "red") drawNotice("red", "The station cannot answer", [error.message]);
  }
}

async function look() {
  try {
    const state = await call("api/state");
    heard(state);
    await open.handle?.tick?.(state);
    drawReasons(state);
    return true;
  } catch (error) {
    if (error.name === "AbortError") return true;
    unheard(error);
    return false;
  }
}

drawNav();
drawState("starting");
addEventListener("hashchange", show);
show();
const beat = poll(look);
