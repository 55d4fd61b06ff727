// What the page knows of the station at this moment; main.js writes it, views read it.

export const now = {
  state: null, // last answer of /api/state
  answered: null, // when it came, in milliseconds of this device
  offset: 0, // clock of the station minus clock of this device, in milliseconds
};

export function stationTime() {
  return Date.now() + now.offset;
}

export function may(scope) {
  return Boolean(now.state?.scopes?.includes(scope));
}
