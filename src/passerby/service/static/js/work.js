// Actions of the operator: search, reopen, trace; and what the page reads from the answer.
import { cropUrl, get, post } from "./api.js";
import { state, update } from "./state.js";

const iso = (ms) => (ms === null ? null : new Date(ms).toISOString());

/** The scope in the form of the HTTP API. */
export const scope = () => ({
  units: state.chosenUnits,
  cameras: state.chosenCameras,
  start: iso(state.window.start),
  end: iso(state.window.end),
});

let coverageRequest = null;

/** Load what each camera saw in the window; a newer request cancels an older one. */
export async function loadCoverage() {
  coverageRequest?.abort();
  coverageRequest = new AbortController();
  const query = new URLSearchParams();
  if (state.window.start !== null) query.set("start", iso(state.window.start));
  if (state.window.end !== null) query.set("end", iso(state.window.end));
  try {
    const cameras = await get(`/api/coverage?${query}`, { signal: coverageRequest.signal });
    update({ coverage: new Map(cameras.map((one) => [one.camera, one])) });
  } catch (error) {
    if (error.name !== "AbortError") update({ coverage: null });
  }
}

/** What the panel asks now, in the form of the HTTP API. */
const question = () => ({
  case: state.caseId,
  pictures: state.pictures.filter((one) => !one.sighting).map(({ id, box, plain }) => ({ id, box, enhance: plain ? "off" : "auto" })),
  sightings: state.pictures.filter((one) => one.sighting).map((one) => one.sighting),
  scope: scope(),
});

/** How the shown search stands to the panel: "now", "changed", or "earlier" (opened from a list). */
export function age() {
  if (state.asked === null) return "earlier";
  return state.asked === JSON.stringify(question()) ? "now" : "changed";
}

let asking = null; // AbortController of the search under way

/** Start to ask; what was asked before and is not answered yet is dropped. */
function ask() {
  asking?.abort();
  asking = new AbortController();
  update({ status: "searching", problem: null, playing: false });
  return asking.signal;
}

/** Give up the search under way; the results before it stay. */
export function cancelSearch() {
  asking?.abort();
  update({ status: state.search ? "ready" : "idle" });
}

function failed(problem, signal) {
  if (signal.aborted) return;
  const gone = problem.code === "pictures_forgotten";
  const pictures = gone ? state.pictures.map((one) => (one.sighting ? one : { ...one, gone })) : state.pictures;
  update({ status: "failed", problem, pictures });
}

/** Search for the person of the query pictures in the scope. */
export async function search() {
  const signal = ask();
  const asked = question();
  try {
    const limit = Math.min(60, state.city.limits.most_results);
    const answer = await post("/api/searches", { ...asked, limit }, { signal });
    if (signal.aborted) return;
    update({ asked: JSON.stringify(asked), selected: null, trajectory: null, alternative: 0, drawer: "right", undo: null });
    await showAnswer(answer);
  } catch (error) {
    failed(error, signal);
  }
}

/** Show an answer, then the path of its person. */
export async function showAnswer(answer, { path = true } = {}) {
  update({
    search: answer,
    status: "ready",
    selected: answer.matches.find((one) => one.id === state.selected)?.id ?? answer.matches[0]?.id ?? null,
  });
  if (path) await trace();
}

/** Load the path of the present search's person. */
async function trace() {
  const asked = state.search;
  try {
    const trajectory = await get(`/api/searches/${asked.id}/trajectory`);
    if (state.search?.id !== asked.id || state.search.revision !== trajectory.revision) return;
    const first = trajectory.visits[0];
    update({ trajectory, noPath: null, alternative: 0, playhead: first ? Date.parse(first.arrive) : null });
  } catch (error) {
    if (state.search?.id === asked.id) update({ trajectory: null, noPath: error });
  }
}

/** Open a search that was made before. */
export async function reopen(id) {
  const signal = ask();
  update({ view: "search" });
  try {
    const answer = await get(`/api/searches/${encodeURIComponent(id)}`, { signal });
    if (signal.aborted) return;
    update({ asked: null, selected: null, trajectory: null, alternative: 0, undo: null });
    await showAnswer(answer);
  } catch (error) {
    failed(error, signal);
  }
}

/** The path that is shown: the best one or a chosen alternative. */
export function shownPath() {
  const { trajectory, alternative } = state;
  if (!trajectory) return null;
  return alternative === 0 ? trajectory : (trajectory.alternatives[alternative - 1] ?? trajectory);
}

/** The result that is selected, or null. */
export const selectedMatch = () => state.search?.matches.find((one) => one.id === state.selected) ?? null;

/** The result that shows a visit. */
export function resultOf(visit) {
  const own = new Set(visit.sightings.map((one) => one.id));
  return state.search?.matches.find((one) => [one.id, ...one.members].some((id) => own.has(id)))?.id ?? null;
}

/** The number of the visit that a result is part of, or null. */
export function visitOf(match) {
  const own = new Set([match.id, ...match.members]);
  const at = shownPath()?.visits.findIndex((visit) => visit.sightings.some((one) => own.has(one.id))) ?? -1;
  return at < 0 ? null : at + 1;
}

/** Take a sighting of the gallery as the only query picture; it was seen for `caseId`. */
export const addSighting = ({ id }, caseId) =>
  update({ pictures: [{ key: `sighting:${id}`, sighting: id, url: cropUrl(id, caseId), warnings: [] }] });
