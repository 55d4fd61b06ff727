// Repeats a piece of work about every second; less often while the page is hidden or nobody answers.

const HIDDEN = 15000;
const SLOWEST = 15000;

export function poll(work, every = 1000) {
  let timer = null;
  let running = false;
  let again = false;
  let failures = 0;
  let stopped = false;

  function pause() {
    if (document.hidden) return HIDDEN;
    return Math.min(SLOWEST, every * 2 ** failures);
  }

  async function round() {
    if (stopped) return;
    if (running) {
      again = true;
      return;
    }
    clearTimeout(timer);
    running = true;
    again = false;
    try {
      failures = (await work()) ? 0 : failures + 1;
    } finally {
      running = false;
      if (!stopped) timer = setTimeout(round, again ? 0 : pause());
    }
  }

  function wake() {
    if (!document.hidden) round();
  }

  document.addEventListener("visibilitychange", wake);
  addEventListener("online", wake);
  round();
  return {
    now: round,
    stop() {
      stopped = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", wake);
      removeEventListener("online", wake);
    },
  };
}
