// A dialog that shows the query and one result side by side, large, with all facts.
import { cropUrl } from "../api.js";
import { button, fill, h, openDialog } from "../dom.js";
import { number, t } from "../i18n.js";
import { icon } from "../icons.js";
import { state, subscribe, update } from "../state.js";
import { clock, day } from "../time.js";
import { openVerdict, toggleVerdict, verdictOf } from "../verdicts.js";
import { shownPath, visitOf } from "../work.js";
import { verdictNotices } from "./notices.js";
import { legText, nameOfCamera, score, unitPath } from "./describe.js";
import { sceneOf } from "./scene.js";

/** Open the comparison at a result; arrow keys go on to the next. */
export function compare(first) {
  let shown = first.id;
  const at = () => state.search.matches.findIndex((one) => one.id === shown);
  const stage = h("div", { class: "dialog-body compare" });
  const foot = h("div", { class: "dialog-foot compare-foot" });
  const notices = h("div", { class: "compare-notices" });
  let frame = 0;
  const query = querySide(); // once: a picture is not fetched anew with every drawing
  let scene = { id: null, element: null }; // a clip that plays goes on when the rest is drawn anew

  const go = (step) => {
    const next = state.search.matches[at() + step];
    if (!next) return;
    shown = next.id;
    frame = 0;
    update({ selected: shown });
    draw();
  };
  const decide = async (match, verdict) => {
    const next = verdict === "rejected" ? state.search.matches[at() + 1]?.id : shown;
    await toggleVerdict(match, verdict);
    shown = state.search?.matches.some((one) => one.id === shown) ? shown : (next ?? state.search?.matches[0]?.id);
    draw();
  };
  const draw = () => {
    const match = state.search?.matches.find((one) => one.id === shown);
    if (!match) return;
    const frames = [match.id, ...match.members];
    const choose = (i) => {
      frame = i;
      draw();
    };
    if (scene.id !== frames[frame]) scene = { id: frames[frame], element: sceneOf(frames[frame], state.search.case) };
    fill(stage, query, resultSide(match, frames, frame, choose), facts(match), scene.element);
    const verdict = verdictOf(match);
    const open = openVerdict(match);
    const busy = (kind) => (open?.status === "pending" && open.verdict === kind ? h("span", { class: "spinner" }) : null);
    fill(notices, verdictNotices());
    fill(
      foot,
      button(t("compare.previous"), () => go(-1), { kind: "quiet", disabled: at() === 0, "data-key": "previous" }),
      h("span", { class: "hint grow center" }, t("compare.position", { n: at() + 1, all: state.search.matches.length })),
      button(t("judge.reject"), () => decide(match, "rejected"), {
        icon: busy("rejected") ?? icon("cross"),
        kind: "bad",
        "aria-pressed": String(verdict === "rejected"),
        "data-key": "reject",
      }),
      button(t("judge.confirm"), () => decide(match, "confirmed"), {
        icon: busy("confirmed") ?? icon("check"),
        kind: "good",
        "aria-pressed": String(verdict === "confirmed"),
        "data-key": "confirm",
      }),
      button(t("compare.next"), () => go(1), { kind: "quiet", disabled: at() === state.search.matches.length - 1, "data-key": "next" }),
    );
  };
  const keys = (event) => {
    const match = state.search?.matches.find((one) => one.id === shown);
    const act = {
      ArrowRight: () => go(1),
      ArrowLeft: () => go(-1),
      j: () => go(1),
      k: () => go(-1),
      c: () => decide(match, "confirmed"),
      x: () => decide(match, "rejected"),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
  };
  draw();
  return openDialog(
    t("compare.title"),
    (close, dialog) => {
      dialog.addEventListener("keydown", keys);
      dialog.addEventListener("close", subscribe(["search", "verdicts", "undo"], draw));
      return [notices, stage, foot];
    },
    { closeLabel: t("close"), wide: true },
  );
}

/** The pictures that the shown search was made with, cut to its boxes; not those of the panel. */
const queryUrls = () => [
  ...state.search.query_pictures.map((_, i) => `/api/searches/${state.search.id}/pictures/${i + 1}`),
  ...state.search.query_sightings.map((id) => cropUrl(id, state.search.case)),
];

const querySide = () =>
  h(
    "figure",
    { class: "compare-side" },
    h("figcaption", {}, t("person.query")),
    h(
      "div",
      { class: `compare-stage ${queryUrls().length > 4 ? "many" : ""}` },
      queryUrls().map((src, i) => {
        const gone = () => image.replaceWith(h("p", { class: "hint" }, t("compare.no_query")));
        const image = h("img", { src, alt: `${t("person.query")} ${i + 1}`, onerror: gone });
        return image;
      }),
    ),
  );

const resultSide = (match, frames, frame, choose) =>
  h(
    "figure",
    { class: "compare-side" },
    h("figcaption", {}, t("compare.result", { n: match.rank })),
    h("div", { class: "compare-stage" }, h("img", { src: cropUrl(frames[frame], state.search.case), alt: t("results.crop", { n: match.rank }) })),
    frames.length > 1
      ? h(
          "div",
          { class: "compare-strip", role: "group", "aria-label": t("results.members") },
          frames.map((id, i) =>
            h(
              "button",
              { type: "button", "aria-pressed": String(i === frame), "aria-label": t("compare.frame", { n: i + 1 }), "data-key": `frame:${i}`, onclick: () => choose(i) },
              h("img", { src: cropUrl(id, state.search.case), alt: "" }),
            ),
          ),
        )
      : null,
  );

function facts(match) {
  const time = Date.parse(match.time);
  const visit = visitOf(match);
  const path = shownPath();
  const line = (key, value) => [h("dt", {}, t(key)), h("dd", {}, value)];
  const leg = visit > 1 ? path.legs[visit - 2] : null;
  return h(
    "dl",
    { class: "facts" },
    line(state.search.calibrated ? "score.calibrated" : "score.uncalibrated", score(match)),
    line("fact.camera", nameOfCamera(match.camera)),
    line("fact.unit", unitPath(match.unit, { levels: 4 })),
    line("fact.time", `${clock(time)} · ${day(time)}`),
    line("fact.quality", number(match.quality, { style: "percent" })),
    visit ? line("fact.visit", t("path.visit", { n: visit })) : line("fact.visit", t("fact.not_on_path")),
    leg ? line("fact.leg", legText(leg)) : null,
  );
}
