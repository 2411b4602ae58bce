// One result: the crop, how sure, where, when; and what the operator can do with it.
import { cropUrl } from "../api.js";
import { button, h } from "../dom.js";
import { number, t } from "../i18n.js";
import { icon } from "../icons.js";
import { state, update } from "../state.js";
import { clock, day } from "../time.js";
import { judge, shownPath, verdictOf } from "../work.js";
import { compare } from "./compare.js";
import { nameOfCamera, unitPath } from "./names.js";
import { addSighting } from "./person.js";

/** "87 %" for a probability; a bare number where the network is not calibrated. */
export const scoreText = (match) =>
  state.search.calibrated ? number(match.score, { style: "percent" }) : number(match.similarity, { maximumFractionDigits: 2, minimumFractionDigits: 2 });

/** The number of the visit that a result is part of, or null. */
export function visitOf(match) {
  const own = new Set([match.id, ...match.members]);
  const at = shownPath()?.visits.findIndex((visit) => visit.sightings.some((one) => own.has(one.id))) ?? -1;
  return at < 0 ? null : at + 1;
}

export function score(match) {
  const share = Math.round(100 * Math.min(Math.max(match.score, 0), 1));
  const label = state.search.calibrated ? t("score.calibrated") : t("score.uncalibrated");
  return h(
    "div",
    { class: "score", title: label },
    h("span", { class: `meter ${state.search.calibrated ? "" : "open"}` }, h("span", { style: { width: `${share}%` } })),
    h("strong", {}, scoreText(match)),
    state.search.calibrated ? null : h("span", { class: "hint" }, t("score.short_uncalibrated")),
  );
}

export function card(match) {
  const verdict = verdictOf(match);
  const visit = visitOf(match);
  const time = Date.parse(match.time);
  const select = () => update({ selected: match.id });
  const press = (kind) => judge(match, verdict === kind ? null : kind);
  return h(
    "li",
    {
      class: `card ${verdict ?? ""} ${match.id === state.selected ? "selected" : ""}`,
      "data-id": match.id,
      "aria-current": String(match.id === state.selected),
      onclick: select,
      onmouseenter: () => update({ hovered: match.id }),
      onmouseleave: () => update({ hovered: null }),
    },
    h(
      "button",
      {
        type: "button",
        class: "crop",
        title: t("compare.open"),
        "aria-label": t("compare.open"),
        "data-key": `crop:${match.id}`,
        onclick: () => {
          select();
          compare(match);
        },
      },
      h("img", { src: cropUrl(match.id), alt: t("results.crop", { n: match.rank }), loading: "lazy" }),
      h("span", { class: "rank" }, match.rank),
      match.members.length ? h("span", { class: "members", title: t("results.members") }, `+${match.members.length}`) : null,
    ),
    h(
      "div",
      { class: "card-body" },
      h("div", { class: "card-top" }, score(match), visit ? h("span", { class: "visit-mark", title: t("path.visit", { n: visit }) }, visit) : null),
      h("div", { class: "card-line strong" }, icon("camera"), h("span", {}, nameOfCamera(match.camera))),
      h("div", { class: "card-line" }, icon("place"), h("span", { title: unitPath(match.unit, { levels: 4 }) }, unitPath(match.unit))),
      h("div", { class: "card-line" }, icon("clock"), h("span", {}, h("span", { class: "card-time" }, clock(time)), ` · ${day(time)}`)),
      h(
        "div",
        { class: "card-actions" },
        button(t("judge.confirm"), (event) => (event.stopPropagation(), press("confirmed")), {
          icon: icon("check"),
          kind: "small good",
          "aria-pressed": String(verdict === "confirmed"),
          "data-key": `confirm:${match.id}`,
        }),
        button(t("judge.reject"), (event) => (event.stopPropagation(), press("rejected")), {
          icon: icon("cross"),
          kind: "small bad",
          "aria-pressed": String(verdict === "rejected"),
          "data-key": `reject:${match.id}`,
        }),
        button(null, (event) => (event.stopPropagation(), addSighting(match)), {
          icon: icon("similar"),
          kind: "quiet small square",
          label: t("results.similar"),
          "data-key": `similar:${match.id}`,
        }),
      ),
    ),
  );
}
