// Keys for triage: look at one result after another without the mouse.
import { h, openDialog } from "./dom.js";
import { t } from "./i18n.js";
import { state, update } from "./state.js";
import { compare } from "./views/compare.js";
import { addSighting, applyFeedback, selectedMatch, verdictOf } from "./work.js";

const KEYS = [
  ["j ↓", "keys.next"],
  ["k ↑", "keys.previous"],
  ["c", "keys.confirm"],
  ["x", "keys.reject"],
  ["Enter", "keys.compare"],
  ["f", "keys.similar"],
  ["Space", "keys.play"],
  ["?", "keys.title"],
];

/** Listen once for the whole page. */
export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, dialog, [role=slider]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (state.view !== "search" || !state.session) return;
    if (event.key === "?") return void showKeys();
    const pressing = event.target.closest?.("button, a, label");
    if (pressing && (event.key === "Enter" || event.key === " ")) return;
    const act = actions()[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

function actions() {
  if (!state.search?.matches.length) return {};
  const match = selectedMatch();
  const mark = (verdict) => () => match && applyFeedback(match, verdictOf(match) === verdict ? null : verdict);
  return {
    j: () => step(1),
    ArrowDown: () => step(1),
    k: () => step(-1),
    ArrowUp: () => step(-1),
    c: mark("confirmed"),
    x: mark("rejected"),
    Enter: () => match && compare(match),
    f: () => match && addSighting(match),
    " ": () => state.playhead !== null && update({ playing: !state.playing }),
  };
}

/** Select the next or previous card, in the order in which they are shown. */
function step(by) {
  const shown = [...document.querySelectorAll(".results-list .card")].map((card) => card.dataset.id);
  const at = shown.indexOf(state.selected);
  const next = shown[Math.min(Math.max(at + by, 0), shown.length - 1)];
  if (next) update({ selected: next });
}

/** What the keys do. */
export function showKeys() {
  openDialog(
    t("keys.title"),
    () =>
      h(
        "dl",
        { class: "dialog-body keys" },
        KEYS.map(([keys, text]) => [
          h("dt", {}, keys.split(" ").map((key) => h("kbd", {}, key))),
          h("dd", {}, t(text)),
        ]),
      ),
    { closeLabel: t("close") },
  );
}
