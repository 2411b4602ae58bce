// Keys for triage: look at one result after another without the mouse.
import { h, openDialog, toast } from "./dom.js";
import { t } from "./i18n.js";
import { state, update } from "./state.js";
import { compare } from "./views/compare.js";
import { toggleVerdict, undoVerdict } from "./verdicts.js";
import { addSighting, selectedMatch } from "./work.js";

const KEYS = [
  ["j ↓", "keys.next"],
  ["k ↑", "keys.previous"],
  ["c", "keys.confirm"],
  ["x", "keys.reject"],
  ["u", "judge.undo"],
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
  const mark = (verdict) => () => match && inSight(match) && toggleVerdict(match, verdict);
  return {
    j: () => step(1),
    ArrowDown: () => step(1),
    k: () => step(-1),
    ArrowUp: () => step(-1),
    c: mark("confirmed"),
    x: mark("rejected"),
    u: undoVerdict,
    Enter: () => match && compare(match),
    f: () => match && addSighting(match, state.search.case),
    " ": () => state.playhead !== null && update({ playing: !state.playing }),
  };
}

/** Whether the operator sees a result; one out of sight is brought there and not judged. */
function inSight(match) {
  const card = document.querySelector(`.results-list .card[data-id="${CSS.escape(match.id)}"]`);
  const list = card?.closest(".results-list").getBoundingClientRect();
  const own = card?.getBoundingClientRect();
  const middle = own ? [own.left + own.width / 2, own.top + own.height / 2] : [-1, -1];
  const shown = own && middle[1] > list.top && middle[1] < list.bottom && card.contains(document.elementFromPoint(...middle));
  if (!shown) {
    card?.scrollIntoView({ block: "nearest" });
    toast(t("keys.out_of_sight"));
  }
  return shown;
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
