// The state of the page. Views subscribe to parts of it and are called when a part changes.
// Only `update` changes it.

const listeners = new Map();

export const state = {
  session: null, // {account, csrf, expires}
  zone: null, // chosen for this browser; null for the city's
  city: null, // name, zone, bounds, model, limits
  units: null, // the tree, see units.js
  cameras: [], // features
  facts: [], // names of what is known of the units
  layer: null, // the fact that the map shows; null: sightings
  layerValues: null, // unit -> fact
  base: null, // streets, water, parks
  language: "en",
  theme: "light",
  view: "search",
  cases: [],
  caseId: null,
  pictures: [], // query pictures, see person.js
  level: "district",
  chosenUnits: [],
  chosenCameras: [],
  window: { start: null, end: null },
  coverage: null, // camera -> {sightings, first, last}
  search: null, // the last answer
  asked: null, // the question of the last answer as JSON; null for a search opened from a list
  verdicts: new Map(), // id of a result -> a verdict that is not stored, see verdicts.js
  undo: null, // the last stored verdict: {search, match, before, verdict}
  trajectory: null,
  noPath: null, // why there is no path
  alternative: 0,
  status: "idle", // idle | searching | ready | failed
  problem: null,
  selected: null, // id of a sighting
  hovered: null,
  playhead: null, // ms
  playing: false,
  speed: 120, // of the playhead: seconds of the city in one second
  grouping: "tracklet",
  drawer: null, // on small screens: "left" | "right" | null
};

/** Call `listener` after any of `keys` changed; returns a function that ends it. */
export function subscribe(keys, listener) {
  for (const key of keys) {
    if (!listeners.has(key)) listeners.set(key, new Set());
    listeners.get(key).add(listener);
  }
  return () => keys.forEach((key) => listeners.get(key).delete(listener));
}

/** Change the state and call the listeners of what changed, each once. */
export function update(changes) {
  const due = new Set();
  for (const [key, value] of Object.entries(changes)) {
    if (!(key in state)) throw new Error(`the state has no '${key}'`);
    if (state[key] === value) continue;
    state[key] = value;
    listeners.get(key)?.forEach((listener) => due.add(listener));
  }
  due.forEach((listener) => listener());
}
