// Cases and the searches made for them.
import { get, post } from "../api.js";
import { button, h } from "../dom.js";
import { askByForm } from "../form.js";
import { number, t } from "../i18n.js";
import { icon } from "../icons.js";
import { state, update } from "../state.js";
import { dateTime } from "../time.js";
import { openCase } from "../views/case.js";
import { scopeNames } from "../views/describe.js";
import { reopen } from "../work.js";
import { chip, pageOf, table } from "./page.js";

export const casesPage = () =>
  pageOf("page.cases", "cases.hint", load, (reload) =>
    button(t("case.new"), async () => (await openCase()) && reload(), { icon: icon("plus"), kind: "primary" }),
  );

async function load(reload) {
  const [cases, searches] = await Promise.all([get("/api/cases"), get("/api/searches")]);
  update({ cases });
  return [
    table(
      [
        ["case.id", (one) => h("strong", {}, one.id)],
        ["case.purpose", (one) => one.purpose],
        ["case.basis", (one) => one.legal_basis],
        ["case.owner", (one) => one.owner],
        ["case.expires", (one) => dateTime(Date.parse(one.expires))],
        ["case.state", status],
        [null, (one) => (one.is_open ? button(t("case.close"), () => close(one, reload), { kind: "small quiet" }) : null)],
      ],
      cases,
      { empty: "cases.none" },
    ),
    h("h2", { class: "page-second" }, t("searches.title")),
    table(
      [
        ["searches.number", (one) => `#${one.audit}`],
        ["case.title", (one) => h("span", { class: "figures" }, one.case)],
        ["fact.time", (one) => dateTime(Date.parse(one.created))],
        ["where.title", (one) => scopeNames(one.scope)],
        ["searches.results", (one) => number(one.results)],
        ["judge.confirmed", (one) => (one.confirmed ? chip(number(one.confirmed), "good") : "–")],
        [null, (one) => button(t("searches.open"), () => reopen(one.id), { kind: "small" })],
      ],
      searches,
      { empty: "searches.none" },
    ),
  ];
}

function status(one) {
  if (one.closed) return chip(t("case.closed"));
  return one.is_open ? chip(t("case.is_open"), "good") : chip(t("case.expired"), "warn");
}

/** Ask first: a closed case is not opened again. */
async function close(one, reload) {
  const send = async () => (await post(`/api/cases/${encodeURIComponent(one.id)}/close`)) ?? true;
  const sure = h("p", { class: "notice warn" }, icon("warning"), h("span", {}, t("case.close_sure", { id: one.id })));
  if (await askByForm("case.close", "case.close", send, { why: sure, fields: null })) {
    if (state.caseId === one.id) {
      update({ caseId: state.cases.find((other) => other.is_open && other.id !== one.id)?.id ?? null });
    }
    reload();
  }
}
