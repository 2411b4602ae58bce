// The right panel: the results in order, the verdict, the export.
import { button, fill, h, openDialog, segmented, toast } from "../dom.js";
import { download } from "../api.js";
import { number, t } from "../i18n.js";
import { icon } from "../icons.js";
import { problemText, warn } from "../problems.js";
import { showKeys } from "../keyboard.js";
import { state, subscribe, update } from "../state.js";
import { duration } from "../time.js";
import { verdictOf } from "../verdicts.js";
import { shownPath } from "../work.js";
import { card } from "./card.js";
import { nameOfCamera } from "./describe.js";
import { ageNotice, askedFor, rejectedList, verdictNotices } from "./notices.js";

export function resultsPanel() {
  const head = h("div", { class: "results-head" });
  const list = h("div", { class: "panel-scroll results-list", tabindex: "-1" });
  const panel = h("aside", { class: "panel right", "aria-label": t("top.results") }, head, list);
  const drawHead = () => state.city && fill(head, header());
  const drawList = () => state.city && fill(list, content());
  subscribe(["language", "search", "status", "trajectory", "noPath", "alternative", "grouping", "verdicts", "undo", "zone"], drawHead);
  subscribe(["asked", "caseId", "pictures", "chosenUnits", "chosenCameras", "window"], drawHead);
  subscribe(["language", "search", "status", "grouping", "city", "trajectory", "alternative", "verdicts", "zone"], drawList);
  subscribe(["selected"], () => markSelected(list));
  drawHead();
  drawList();
  return panel;
}

function header() {
  const { search } = state;
  if (!search) return h("h2", { class: "results-title" }, t("top.results"));
  return [
    h(
      "div",
      { class: "row" },
      h(
        "div",
        { class: "grow" },
        h("h2", { class: "results-title" }, title(search)),
        h("p", { class: "hint" }, t("results.searched", { n: number(search.searched), cameras: number(search.cameras.length), audit: search.audit })),
        askedFor(),
      ),
      button(null, showKeys, { icon: icon("keyboard"), kind: "quiet small square", label: t("keys.title") }),
      button(t("export.short"), openExport, { icon: icon("download"), kind: "small", label: t("export.title") }),
    ),
    ageNotice(),
    verdictNotices(),
    verdict(),
    pathSummary(),
    search.matches.length
      ? segmented(
          [["tracklet", t("group.score")], ["camera", t("group.camera")], ["time", t("group.time")]],
          state.grouping,
          (grouping) => update({ grouping }),
          t("group.title"),
        )
      : null,
  ];
}

const LIKELY = 0.5; // as the service's verdict

/** "5 likely of 60 passages" where scores are probabilities. */
function title({ calibrated, matches }) {
  const n = number(matches.length);
  const likely = matches.filter((match) => match.score >= LIKELY).length;
  return calibrated && matches.length ? t("results.likely", { likely: number(likely), n }) : t("results.title", { n });
}

/** How to read the answer; always ends with: it is a lead. */
function verdict() {
  const { search } = state;
  if (search.verdict === "empty") return null;
  const kind = search.verdict === "weak" ? "warn" : "plain";
  return h(
    "p",
    { class: `notice ${kind}` },
    icon(search.verdict === "weak" ? "warning" : "info"),
    h("span", {}, search.verdict === "weak" ? h("strong", {}, t("verdict.weak"), " ") : null, t("verdict.lead")),
  );
}

function pathSummary() {
  const path = shownPath();
  if (!path && state.noPath) return h("p", { class: "notice" }, icon("route"), h("span", {}, problemText(state.noPath)));
  if (!path) return null;
  const others = state.trajectory.alternatives.length;
  if (!path.visits.length) return h("p", { class: "notice" }, icon("route"), h("span", {}, t("path.none")));
  const length = Date.parse(path.visits.at(-1).leave) - Date.parse(path.visits[0].arrive);
  const gaps = path.legs.filter((leg) => !leg.known).length;
  return h(
    "div",
    { class: "path-summary" },
    icon("route"),
    h(
      "span",
      { class: "grow" },
      h("strong", {}, t("path.visits", { n: path.visits.length })),
      ` · ${duration(length)}`,
      gaps ? ` · ${t("path.gaps", { n: gaps })}` : null,
    ),
    others
      ? segmented(
          Array.from({ length: others + 1 }, (_, i) => [i, i === 0 ? t("path.best") : String.fromCharCode(65 + i)]),
          state.alternative,
          (alternative) => update({ alternative }),
          t("path.alternatives"),
        )
      : null,
  );
}

function content() {
  if (state.status === "searching") return skeleton();
  if (!state.search) {
    if (state.status === "failed") return empty("warning", problemText(state.problem), null);
    return state.city.sightings
      ? steps()
      : empty("empty", t("results.no_gallery"), t("results.no_gallery_hint"));
  }
  const { matches } = state.search;
  if (!matches.length) return [empty("empty", t("results.none"), silentText() ?? t("results.none_hint")), rejectedList()];
  return [groups(matches), rejectedList(), silentText() ? h("p", { class: "notice results-note" }, icon("camera"), h("span", {}, silentText())) : null];
}

const empty = (symbol, title, text) =>
  h("div", { class: "empty" }, icon(symbol), h("strong", {}, title), text ? h("p", { class: "hint" }, text) : null);

/** What to do, before the first search. */
const steps = () =>
  h(
    "div",
    { class: "empty" },
    icon("search"),
    h("strong", {}, t("results.start")),
    h("ol", { class: "steps" }, ["picture", "scope", "search", "verify"].map((step) => h("li", {}, h("span", {}, t(`step.${step}`))))),
  );

const skeleton = () =>
  h(
    "div",
    { class: "skeletons", "aria-label": t("search.busy"), role: "status" },
    Array.from({ length: 6 }, () => h("div", { class: "skeleton" })),
  );

/** Cameras without a sighting, and those that did not record: there nobody could have been seen. */
function silentText() {
  const { silent, cameras, recorded = {} } = state.search;
  const away = silent.filter((id) => recorded[id] === 0);
  const partly = Object.entries(recorded).filter(([, part]) => part > 0 && part < 1);
  const texts = [];
  if (silent.length > away.length) texts.push(t("results.silent", { n: silent.length - away.length, all: cameras.length }));
  if (away.length) texts.push(t("results.unrecorded", { n: away.length, names: some(away) }));
  if (partly.length) {
    const parts = partly.map(([id, part]) => `${id} ${number(part, { style: "percent" })}`);
    texts.push(t("results.partly", { n: partly.length, names: some(parts) }));
  }
  return texts.join(" ") || null;
}

function some(names) {
  return names.slice(0, 6).join(", ") + (names.length > 6 ? " …" : "");
}

/** The results by score, by time, or under a heading for each camera. */
function groups(matches) {
  if (state.grouping === "time") {
    const byTime = [...matches].sort((a, b) => Date.parse(a.time) - Date.parse(b.time));
    return h("ol", { class: "cards" }, byTime.map(card));
  }
  if (state.grouping !== "camera") return byScore(matches);
  const byCamera = new Map();
  for (const match of matches) byCamera.set(match.camera, [...(byCamera.get(match.camera) ?? []), match]);
  return [...byCamera].map(([camera, own]) =>
    h(
      "section",
      {},
      h("h3", { class: "group-title" }, icon("camera"), h("span", { class: "grow" }, nameOfCamera(camera)), h("span", { class: "hint" }, own.length)),
      h("ol", { class: "cards" }, own.map(card)),
    ),
  );
}

/** Best first, with a line below what is likely. */
function byScore(matches) {
  const at = state.search.calibrated ? matches.findIndex((match) => match.score < LIKELY && !verdictOf(match)) : -1;
  if (at < 0) return h("ol", { class: "cards" }, matches.map(card));
  return [
    at > 0 ? h("ol", { class: "cards" }, matches.slice(0, at).map(card)) : null,
    h("p", { class: "unlikely" }, t("results.unlikely")),
    h("ol", { class: "cards", start: at + 1 }, matches.slice(at).map(card)),
  ];
}

function markSelected(list) {
  for (const one of list.querySelectorAll(".card")) {
    const on = one.dataset.id === state.selected;
    one.classList.toggle("selected", on);
    one.setAttribute("aria-current", String(on));
    if (on) one.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }
}

function openExport() {
  openDialog(
    t("export.title"),
    (close) => {
      const save = async (format) => {
        try {
          const audit = await download(`/api/searches/${state.search.id}/exports`, { format });
          toast(t("export.done", { audit }), icon("check"));
          close();
        } catch (error) {
          warn(error);
        }
      };
      const choice = (format) =>
        button(
          h("span", { class: "export-choice" }, h("strong", {}, format.toUpperCase()), h("span", { class: "hint" }, t(`export.${format}`))),
          () => save(format),
          { icon: icon("download"), kind: "tall wide start" },
        );
      return h(
        "div",
        { class: "dialog-body" },
        h("p", { class: "notice" }, icon("shield"), h("span", {}, t("export.why", { case: state.search.case }))),
        ["json", "csv", "geojson"].map(choice),
      );
    },
    { closeLabel: t("close") },
  );
}
