// Verdicts of the operator: one a request, with the revision it is based on. Only what the service
// stored is shown as given; what is under way, or was not stored, is shown as that.
import { get, post } from "./api.js";
import { state, update } from "./state.js";
import { showAnswer } from "./work.js";

const MOST_TRIES = 5;
const queue = [];
let sending = null; // promise of the requests in progress; verdicts may come faster than answers

const idsOf = (match) => new Set([match.id, ...(match.members ?? [])]);

function storedIn(search, own) {
  if (search?.confirmed.some((id) => own.has(id))) return "confirmed";
  if (search?.rejected.some((id) => own.has(id))) return "rejected";
  return null;
}

/** The verdict that is stored for a result: "confirmed", "rejected" or null. */
export const verdictOf = (match) => storedIn(state.search, idsOf(match));

/** A verdict that is not stored: {match, search, verdict, status, problem, stored}, or null. */
export const openVerdict = (match) => {
  const one = state.verdicts.get(match.id);
  return one && one.search === state.search?.id ? one : null;
};

/** Verdicts of the present search that failed or met another verdict. */
export const troubled = () =>
  [...state.verdicts.values()].filter((one) => one.search === state.search?.id && one.status !== "pending");

function note(id, entry) {
  const verdicts = new Map(state.verdicts);
  if (entry) verdicts.set(id, entry);
  else verdicts.delete(id);
  update({ verdicts });
}

/** Drop a failed verdict, or one that met another: what is stored stays. */
export const dropVerdict = (one) => note(one.match.id, null);

/** Give a verdict, or null to take one back; it is shown as given once it is stored. */
export function giveVerdict(match, verdict) {
  const one = { match, verdict, search: state.search.id, known: state.search, status: "pending" };
  if (verdict === "rejected" && state.selected === match.id) update({ selected: nextOf(match.id) });
  note(match.id, one);
  queue.push(one);
  return (sending ??= sendAll());
}

/** Give the verdict, or take it back where it is the one that is stored or under way. */
export function toggleVerdict(match, verdict) {
  const open = openVerdict(match);
  const now = open?.status === "pending" ? open.verdict : verdictOf(match);
  return giveVerdict(match, now === verdict ? null : verdict);
}

/** Take the last stored verdict back. */
export function undoVerdict() {
  const { undo } = state;
  if (!undo || undo.search !== state.search?.id) return;
  update({ undo: null });
  giveVerdict(undo.match, undo.before);
}

async function sendAll() {
  while (queue.length) {
    const one = queue.shift();
    try {
      await send(one);
    } catch (problem) {
      if (state.verdicts.get(one.match.id) === one) note(one.match.id, { ...one, status: "failed", problem });
    }
  }
  sending = null;
}

/** Send one verdict; one that was given elsewhere for another result is no conflict. */
async function send(one) {
  const own = idsOf(one.match);
  const path = `/api/searches/${one.search}`;
  let based = state.search?.id === one.search ? state.search : one.known;
  const before = storedIn(based, own);
  for (let tries = 1; ; tries += 1) {
    try {
      const body = { sighting: one.match.id, verdict: one.verdict, revision: based.revision };
      return await stored(one, await post(`${path}/verdicts`, body), before);
    } catch (error) {
      if (error.code !== "verdict_conflict" || tries === MOST_TRIES) throw error;
    }
    based = await get(path);
    const theirs = storedIn(based, own);
    if (theirs === one.verdict) return stored(one, based, before);
    if (theirs === before) continue;
    if (state.verdicts.get(one.match.id) === one) note(one.match.id, { ...one, status: "conflict", stored: theirs });
    return showHere(one, based);
  }
}

function stored(one, answer, before) {
  if (state.verdicts.get(one.match.id) === one) note(one.match.id, null);
  if (one.verdict) update({ undo: { search: one.search, match: one.match, before, verdict: one.verdict } });
  return showHere(one, answer);
}

async function showHere(one, answer) {
  if (state.search?.id === one.search) await showAnswer(answer, { path: !queue.length });
}

/** The result to select after one is rejected. */
function nextOf(id) {
  const ids = state.search.matches.map((one) => one.id);
  const at = ids.indexOf(id);
  return ids[at + 1] ?? ids[at - 1] ?? null;
}
