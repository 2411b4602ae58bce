// What the operator does: search, judge, trace, ask what the cameras saw.
import { get, post, put } from "./api.js";
import { warn } from "./problems.js";
import { state, update } from "./state.js";

const iso = (ms) => (ms === null ? null : new Date(ms).toISOString());

/** The scope as the service wants it. */
export const scope = () => ({
  units: state.chosenUnits,
  cameras: state.chosenCameras,
  start: iso(state.window.start),
  end: iso(state.window.end),
});

let coverageRequest = null;

/** Ask what each camera saw in the window; a newer question cancels an older one. */
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
      pictures: state.pictures.filter((one) => !one.sighting).map(({ id, box }) => ({ id, box })),
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

/** Ask where the person of the present search went. */
export async function trace() {
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

/** Say whether a result shows the person ("confirmed", "rejected", or null to take it back). */
export async function judge(match, verdict) {
  const own = new Set([match.id, ...(match.members ?? [])]);
  const { search: now } = state;
  const confirmed = now.confirmed.filter((id) => !own.has(id));
  const rejected = now.rejected.filter((id) => !own.has(id));
  if (verdict === "confirmed") confirmed.push(match.id);
  if (verdict === "rejected") rejected.push(match.id);
  const selected = verdict === "rejected" && state.selected === match.id ? nextOf(match.id) : state.selected;
  update({ search: { ...now, confirmed, rejected }, selected });
  unsent = true;
  await (sending ??= sendJudgements());
}

let unsent = false; // the operator has judged since the last request began
let sending = null; // the requests on their way; judging faster than they are answered is fine

/** Send what was judged until nothing new was said meanwhile; only the last answer is shown. */
async function sendJudgements() {
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

/** The result after one, to go on with when it is rejected. */
function nextOf(id) {
  const ids = state.search.matches.map((one) => one.id);
  const at = ids.indexOf(id);
  return ids[at + 1] ?? ids[at - 1] ?? null;
}

/** What the operator has said of a result. */
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
