// What the results are about, whether they are out of date, and verdicts that are not stored.
import { cropUrl, get, sightingUrl } from "../api.js";
import { button, fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { problemText } from "../problems.js";
import { state } from "../state.js";
import { clock, dateTime, day } from "../time.js";
import { dropVerdict, giveVerdict, troubled, undoVerdict } from "../verdicts.js";
import { age, search } from "../work.js";
import { nameOfCamera, scopeNames } from "./describe.js";

const word = (verdict) => t(verdict === "confirmed" ? "judge.confirm" : verdict === "rejected" ? "judge.reject" : "judge.nothing");
const nameOf = (match) => (match.camera ? `${nameOfCamera(match.camera)}, ${clock(Date.parse(match.time))}` : match.id);

/** The question of the shown search: its case, place and window; they may differ from the panel's. */
export function askedFor() {
  const { scope, model } = state.search;
  const end = (text) => (text ? dateTime(Date.parse(text)) : t("when.open"));
  return h(
    "p",
    { class: "hint asked-for", title: model },
    `${t("case.title")} ${state.search.case} · `,
    scopeNames(scope),
    ` · ${end(scope.start)} – ${end(scope.end)}`,
  );
}

/** Said where the panel asks something else than the shown search did. */
export function ageNotice() {
  const how = age();
  if (how === "now") return null;
  const ready = how === "changed" && state.caseId && state.pictures.length && state.status !== "searching";
  return h(
    "div",
    { class: "notice warn out-of-date" },
    icon("clock"),
    h("span", { class: "grow" }, t(how === "changed" ? "results.changed" : "results.earlier")),
    ready ? button(t("search.again"), search, { kind: "small", "data-key": "again" }) : null,
  );
}

/** Verdicts that failed, that met another one, and the one that can be taken back. */
export const verdictNotices = () => [...troubled().map((one) => (one.status === "failed" ? failure(one) : conflict(one))), undoNotice()];

const failure = (one) =>
  h(
    "div",
    { class: "notice bad verdict-failed", role: "alert" },
    icon("warning"),
    h("span", { class: "grow" }, `${t("judge.not_stored", { what: word(one.verdict), name: nameOf(one.match) })} ${problemText(one.problem)}`),
    button(t("judge.retry"), () => giveVerdict(one.match, one.verdict), { kind: "small", "data-key": `retry:${one.match.id}` }),
    button("×", () => dropVerdict(one), { kind: "quiet small square", label: t("close") }),
  );

const conflict = (one) =>
  h(
    "div",
    { class: "notice warn verdict-conflict", role: "alert" },
    icon("warning"),
    h("span", { class: "grow" }, t("judge.both", { name: nameOf(one.match), stored: word(one.stored), own: word(one.verdict) })),
    button(t("judge.keep"), () => dropVerdict(one), { kind: "small", "data-key": `keep:${one.match.id}` }),
    button(t("judge.mine"), () => giveVerdict(one.match, one.verdict), { kind: "small", "data-key": `mine:${one.match.id}` }),
  );

function undoNotice() {
  const { undo } = state;
  if (!undo || undo.search !== state.search?.id) return null;
  return h(
    "div",
    { class: "notice undo", role: "status" },
    icon("check"),
    h("span", { class: "grow" }, t("judge.stored", { what: word(undo.verdict), name: nameOf(undo.match) })),
    button(t("judge.undo"), undoVerdict, { kind: "small", "data-key": "undo" }),
  );
}

let open = false; // whether the rejected ones are shown; each look at a crop is an entry in the audit

/** The results that were rejected; each verdict can be taken back. */
export function rejectedList() {
  const { rejected } = state.search;
  if (!rejected.length) return null;
  const list = h("ul", { class: "rejected-list" });
  const show = () => fill(list, open ? rejected.map(rejectedItem) : null);
  const toggle = (event) => {
    if (open === event.target.open) return;
    open = event.target.open;
    show();
  };
  show();
  return h(
    "details",
    { class: "rejected", open, ontoggle: toggle },
    h("summary", { "data-key": "rejected" }, t("judge.rejected_list", { n: rejected.length })),
    list,
  );
}

function rejectedItem(id) {
  const facts = h("span", { class: "grow hint" });
  get(sightingUrl(id, state.search.case))
    .then((one) => fill(facts, nameOfCamera(one.camera), h("br"), `${clock(Date.parse(one.time))} · ${day(Date.parse(one.time))}`))
    .catch((error) => fill(facts, problemText(error)));
  return h(
    "li",
    { "data-id": id },
    h("img", { src: cropUrl(id, state.search.case), alt: t("judge.rejected_crop"), loading: "lazy" }),
    facts,
    button(t("judge.take_back"), () => giveVerdict({ id, members: [] }, null), { kind: "small", "data-key": `back:${id}` }),
  );
}
