// Asks a person something, and says something to her.

import { el, button, icon } from "./dom.js";
import { now } from "./now.js";

const WHO = "understudy.who";
let closeToast = null;

// Resolves with the text of the field (true without one), or null if the person went back.
export function ask({
  title,
  text = null,
  details = null,
  field = null,
  value = "",
  type = "text",
  ok,
  check = null,
}) {
  return new Promise((resolve) => {
    const input =
      field &&
      el("input", {
        id: "asked",
        type,
        required: true,
        maxlength: 200,
        autocomplete: "off",
        spellcheck: "false",
        value,
      });
    const problem = el("p", { class: "error", role: "alert", hidden: true });
    const form = el(
      "form",
      { method: "dialog" },
      el("h2", { id: "asked-title" }, title),
      text && el("p", { class: "soft" }, text),
      details,
      field && el("div", {}, el("label", { for: "asked" }, field), input),
      problem,
      el(
        "div",
        { class: "row" },
        button("Cancel", () => close(null)),
        el("button", { type: "submit", class: "main-button" }, ok),
      ),
    );
    const dialog = el("dialog", { "aria-labelledby": "asked-title" }, form);
    function close(result) {
      dialog.close();
      dialog.remove();
      resolve(result);
    }
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const result = input ? input.value.trim() : true;
      if (result === "") return;
      const fault = check && (await check(result));
      problem.textContent = fault ?? "";
      problem.hidden = !fault;
      if (!fault) close(result);
    });
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      close(null);
    });
    document.body.append(dialog);
    dialog.showModal();
    input?.focus();
  });
}

export function knownWho() {
  return localStorage.getItem(WHO);
}

// Name of the person at this screen; asked once, then remembered on this device.
export async function who({ change = false } = {}) {
  const known = knownWho();
  if (known && !change) return known;
  const name = await ask({
    title: "Who is answering?",
    text: "Your name is kept beside each answer and each change. This screen asks once and remembers it.",
    field: "Your name",
    value: known ?? now.state?.who ?? "",
    ok: "Continue",
    check: (text) => (text.length > 100 ? "A name has at most 100 characters." : null),
  });
  if (name) localStorage.setItem(WHO, name);
  return name;
}

export function hush() {
  clearTimeout(closeToast);
  document.getElementById("toast").replaceChildren();
}

export function say(text, { action = null, label = null, bad = false } = {}) {
  const place = document.getElementById("toast");
  clearTimeout(closeToast);
  place.replaceChildren(
    el(
      "div",
      {},
      icon(bad ? "review" : "pass"),
      el("span", {}, text),
      action &&
        button(label, () => {
          place.replaceChildren();
          action();
        }),
    ),
  );
  closeToast = setTimeout(() => place.replaceChildren(), bad ? 12000 : 6000);
}
