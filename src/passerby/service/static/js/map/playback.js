// The place of the person at the time of the playhead, and the animation of the playhead.
import { along } from "../geo.js";
import { state, update } from "../state.js";
import { shownPath } from "../work.js";

/**
 * The place at a moment: before a camera, on the way between two, or not known.
 * @returns {{place: number[], known: boolean, visit: number|null} | null}
 */
export function placeAt(path, ms) {
  if (!path?.visits.length) return null;
  const { visits, legs } = path;
  for (let i = 0; i < visits.length; i += 1) {
    const arrive = Date.parse(visits[i].arrive);
    if (ms < arrive) {
      if (i === 0) return null;
      const left = Date.parse(visits[i - 1].leave);
      const leg = legs[i - 1];
      const share = arrive > left ? (ms - left) / (arrive - left) : 1;
      const line = leg.path.length > 1 ? leg.path : [visits[i - 1].place, visits[i].place];
      return { place: along(line, share), known: leg.known, visit: null };
    }
    if (ms <= Date.parse(visits[i].leave)) return { place: visits[i].place, known: true, visit: i };
  }
  return null;
}

/** Move the playhead with the clock until the path ends or playing stops. */
export function startPlayback() {
  const path = shownPath();
  if (!path?.visits.length) {
    update({ playing: false });
    return;
  }
  const first = Date.parse(path.visits[0].arrive);
  const last = Date.parse(path.visits.at(-1).leave);
  if (state.playhead === null || state.playhead < first || state.playhead >= last) update({ playhead: first });
  let before = performance.now();
  const tick = (now) => {
    if (!state.playing) return;
    const next = state.playhead + (now - before) * state.speed;
    before = now;
    if (next >= last) update({ playhead: last, playing: false });
    else {
      update({ playhead: Math.round(next) });
      requestAnimationFrame(tick);
    }
  };
  requestAnimationFrame(tick);
}
