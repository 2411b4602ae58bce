// Actions of the operator: search, give feedback, trace; and what the page reads from the answer.
import { cropUrl, get, post, put } from "./api.js";
import { warn } from "./problems.js";
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

/** Search for the person of the query pictures in the scope. */
export async function search() {
  update({ status: "searching", problem: null, selected: null, alternative: 0, playing: false });
  try {
    const answer = await post("/api/searches", {
      case: state.caseId,
      pictures: state.pictures
        .filter((one) => !one.sighting)
        .map(({ id, box, plain }) => ({ id, box, enhance: plain ? "off" : "auto" })),
      sightings: state.pictures.filter((one) => one.sighting).map((one) => one.sighting),
      scope: scope(),
      limit: Math.min(60, state.city.limits.most_results),
    });
    await show(answer);
    update({ drawer: "right" });
  } catch (error) {
    update({ status: "failed", problem: error, search: null, trajectory: null });
  }
}

/** Show an answer, then the path of its person. */
async function show(answer) {
  update({
    search: answer,
    status: "ready",
    selected: answer.matches.find((one) => one.id === state.selected)?.id ?? answer.matches[0]?.id ?? null,
  });
  await trace();
}

/** Load the path of the present search's person. */
async function trace() {
  const asked = state.search;
  try {
    const trajectory = await get(`/api/searches/${asked.id}/trajectory`);
    if (state.search?.id !== asked.id || state.search.revision !== trajectory.revision) return;
    const first = trajectory.visits[0];
    update({ trajectory, alternative: 0, playhead: first ? Date.parse(first.arrive) : null });
  } catch (error) {
    update({ trajectory: null, problem: error });
  }
}

/** Open a search that was made before. */
export async function reopen(id) {
  update({ view: "search", status: "searching", problem: null, trajectory: null });
  try {
    await show(await get(`/api/searches/${id}`));
  } catch (error) {
    update({ status: "failed", problem: error, search: null });
  }
}

/** Set the feedback for a result: "confirmed", "rejected", or null to remove it. */
export async function applyFeedback(match, verdict) {
  const own = new Set([match.id, ...(match.members ?? [])]);
  const { search: now } = state;
  const confirmed = now.confirmed.filter((id) => !own.has(id));
  const rejected = now.rejected.filter((id) => !own.has(id));
  if (verdict === "confirmed") confirmed.push(match.id);
  if (verdict === "rejected") rejected.push(match.id);
  const selected = verdict === "rejected" && state.selected === match.id ? nextOf(match.id) : state.selected;
  update({ search: { ...now, confirmed, rejected }, selected });
  unsent = true;
  await (sending ??= sendFeedback());
}

let unsent = false; // there is feedback that no request holds yet
let sending = null; // promise of the requests in progress; feedback may come faster than answers

/** Send feedback until none is unsent; only the last answer is shown. */
async function sendFeedback() {
  try {
    while (unsent) {
      unsent = false;
      const { id, confirmed, rejected } = state.search;
      const answer = await put(`/api/searches/${id}/judgement`, { confirmed, rejected });
      if (!unsent && state.search?.id === id) await show(answer);
    }
  } catch (error) {
    update({ problem: error });
    warn(error);
  } finally {
    sending = null;
  }
}

/** The result to select after one is rejected. */
function nextOf(id) {
  const ids = state.search.matches.map((one) => one.id);
  const at = ids.indexOf(id);
  return ids[at + 1] ?? ids[at - 1] ?? null;
}

/** The operator's feedback for a result: "confirmed", "rejected" or null. */
export function verdictOf(match) {
  const own = [match.id, ...(match.members ?? [])];
  if (own.some((id) => state.search?.confirmed.includes(id))) return "confirmed";
  if (own.some((id) => state.search?.rejected.includes(id))) return "rejected";
  return null;
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
