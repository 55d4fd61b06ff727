// Speaks with the station: JSON calls with the token, and pictures as blobs.

const TOKEN = "understudy.token";
const WAIT = 15000; // milliseconds until a call counts as not answered
const KEPT_BLOBS = 120;

export class ApiError extends Error {
  // status 0: the station did not answer.
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (value) => sessionStorage.setItem(TOKEN, value),
  forget: () => sessionStorage.removeItem(TOKEN),
};

function headers(extra = {}) {
  const value = token.get();
  return value ? { ...extra, Authorization: `Bearer ${value}` } : extra;
}

async function answer(path, options, signal, wait = WAIT) {
  const controller = new AbortController();
  const stop = () => controller.abort();
  const timer = setTimeout(stop, wait);
  signal?.addEventListener("abort", stop);
  try {
    return await fetch(new URL(path, document.baseURI.split("#")[0]), {
      ...options,
      signal: controller.signal,
      credentials: "omit",
      redirect: "error",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "The station does not answer.");
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

async function said(response) {
  try {
    const { error, detail } = await response.json();
    if (typeof error === "string") return error;
    if (typeof detail === "string") return detail;
  } catch {
    /* no JSON: the status says what is known */
  }
  return `The station answered with ${response.status} ${response.statusText}`.trim() + ".";
}

export async function call(path, { method = "GET", body, form, signal, wait } = {}) {
  const options = {
    method,
    headers: headers(body ? { "Content-Type": "application/json" } : {}),
    cache: "no-store",
  };
  if (body || form) options.body = form ?? JSON.stringify(body);
  const response = await answer(path, options, signal, wait);
  if (!response.ok) throw new ApiError(response.status, await said(response));
  try {
    return withRecent(await response.json());
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(response.status, "The answer of the station cannot be read.");
  }
}

// Notes at each inspection whether its picture is one of the last, which stands beside it in an answer.
function withRecent(content) {
  for (const row of [content, ...(content?.rows ?? [])]) {
    if (typeof row?.inspection === "object") row.inspection.recent = row.recent ?? false;
  }
  return content;
}

export function query(path, values) {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") search.append(key, one);
    }
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

const blobs = new Map(); // path -> promise of an object URL; the oldest first

export function image(path) {
  const known = blobs.get(path);
  if (known) {
    blobs.delete(path);
    blobs.set(path, known);
    return known;
  }
  const made = load(path);
  blobs.set(path, made);
  made.catch(() => blobs.delete(path));
  while (blobs.size > KEPT_BLOBS) {
    const [oldest, promise] = blobs.entries().next().value;
    blobs.delete(oldest);
    promise.then(
      (url) => URL.revokeObjectURL(url),
      () => {},
    );
  }
  return made;
}

async function load(path) {
  const response = await answer(path, { headers: headers() }, null, 60000);
  if (!response.ok) throw new ApiError(response.status, await said(response));
  return URL.createObjectURL(await response.blob());
}

export async function download(path, name) {
  const response = await answer(path, { headers: headers() }, null, 3600000);
  if (!response.ok) throw new ApiError(response.status, await said(response));
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
