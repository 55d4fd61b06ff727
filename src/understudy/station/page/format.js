// Numbers and times as people read them.

const LANGUAGE = "en-GB";
const DAY = 24 * 3600 * 1000;

export function score(value) {
  if (value === null || value === undefined) return "–";
  const text = Math.abs(value) >= 1000 ? value.toPrecision(4) : value.toFixed(2);
  return text.replace("-", "−");
}

export function count(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString(LANGUAGE);
}

export function decimal(value, digits = 1) {
  if (value === null || value === undefined) return "–";
  return value.toLocaleString(LANGUAGE, { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

export function percent(part, whole = 1) {
  if (!whole || part === null || part === undefined) return "–";
  const share = (100 * part) / whole;
  return `${share.toLocaleString(LANGUAGE, { maximumFractionDigits: share < 10 ? 1 : 0 })} %`;
}

export function clock(text) {
  return new Date(text).toLocaleTimeString(LANGUAGE, {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  });
}

export function moment(text, from = Date.now()) {
  const time = new Date(text);
  if (time.toDateString() === new Date(from).toDateString()) return clock(text);
  const day = time.toLocaleDateString(LANGUAGE, { day: "numeric", month: "short" });
  return `${day}, ${time.toLocaleTimeString(LANGUAGE, { hour: "2-digit", minute: "2-digit" })}`;
}

export function whole(text) {
  if (!text) return null;
  return new Date(text).toLocaleString(LANGUAGE, { dateStyle: "medium", timeStyle: "medium" });
}

export function ago(text, from = Date.now()) {
  const seconds = Math.max(0, Math.round((from - new Date(text).getTime()) / 1000));
  if (seconds < 2) return "just now";
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < (2 * DAY) / 1000) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

export function short(hash) {
  return hash ? hash.slice(0, 12) : null;
}

export function list(words) {
  return new Intl.ListFormat(LANGUAGE, { type: "conjunction" }).format(words);
}
