// One result: crop, score, place, time, and the buttons for feedback.
import { cropUrl } from "../api.js";
import { button, h } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { state, update } from "../state.js";
import { clock, day } from "../time.js";
import { openVerdict, toggleVerdict, verdictOf } from "../verdicts.js";
import { addSighting, visitOf } from "../work.js";
import { compare } from "./compare.js";
import { nameOfCamera, score, unitPath } from "./describe.js";

export function card(match) {
  const verdict = verdictOf(match);
  const visit = visitOf(match);
  const time = Date.parse(match.time);
  const select = () => update({ selected: match.id });
  const open = openVerdict(match);
  const press = (kind) => toggleVerdict(match, kind);
  const busy = (kind) => (open?.status === "pending" && open.verdict === kind ? h("span", { class: "spinner" }) : null);
  return h(
    "li",
    {
      class: `card ${verdict ?? ""} ${open?.status ?? ""} ${match.id === state.selected ? "selected" : ""}`,
      "data-id": match.id,
      "aria-current": String(match.id === state.selected),
      "aria-busy": String(open?.status === "pending"),
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
        "data-key": `crop:${match.id}`,
        onclick: () => {
          select();
          compare(match);
        },
      },
      h("img", { src: cropUrl(match.id, state.search.case), alt: t("results.crop", { n: match.rank }), loading: "lazy" }),
      h("span", { class: "visually-hidden" }, t("compare.open")),
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
          icon: busy("confirmed") ?? icon("check"),
          kind: "small good",
          "aria-pressed": String(verdict === "confirmed"),
          "data-key": `confirm:${match.id}`,
        }),
        button(t("judge.reject"), (event) => (event.stopPropagation(), press("rejected")), {
          icon: busy("rejected") ?? icon("cross"),
          kind: "small bad",
          "aria-pressed": String(verdict === "rejected"),
          "data-key": `reject:${match.id}`,
        }),
        button(null, (event) => (event.stopPropagation(), addSighting(match, state.search.case)), {
          icon: icon("similar"),
          kind: "quiet small square",
          label: t("results.similar"),
          "data-key": `similar:${match.id}`,
        }),
      ),
      open ? h("p", { class: `hint card-open ${open.status}`, role: "status" }, t(`judge.${open.status}`)) : null,
    ),
  );
}
