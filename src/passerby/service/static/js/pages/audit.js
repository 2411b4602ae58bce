// The audit: who did what, when, for which case; and the check of the chain.
import { get } from "../api.js";
import { button, fill, h } from "../dom.js";
import { hasText, number, t } from "../i18n.js";
import { icon } from "../icons.js";
import { warn } from "../problems.js";
import { clock, day } from "../time.js";
import { scopeNames } from "../views/describe.js";
import { chip, pageOf, table } from "./page.js";

let wanted = "";

export const auditPage = () =>
  pageOf("page.audit", "audit.hint", load, () => {
    const verdict = h("span", {});
    return h("div", { class: "row" }, verdict, button(t("audit.verify"), () => verify(verdict), { icon: icon("shield"), kind: "primary" }));
  });

async function verify(verdict) {
  try {
    const found = await get("/api/audit/verification");
    fill(
      verdict,
      found.intact
        ? h("span", { class: "chip good", title: found.uncovered.join("\n") }, icon("check"), h("span", {}, t("audit.intact", { n: number(found.entries) })))
        : h("span", { class: "chip bad" }, icon("warning"), h("span", {}, t("audit.broken", { n: found.broken_at, reason: found.reason }))),
    );
  } catch (error) {
    warn(error);
  }
}

const actionName = (action) => (hasText(`action.${action}`) ? t(`action.${action}`) : action);

async function load() {
  const entries = await get("/api/audit?limit=200");
  const body = h("div", {});
  const draw = () => {
    const text = wanted.toLowerCase();
    const shown = entries.filter((one) =>
      [one.account, one.action, one.case ?? "", actionName(one.action)].some((value) => value.toLowerCase().includes(text)),
    );
    fill(body, table(COLUMNS, shown, { empty: "audit.none" }));
  };
  draw();
  return [
    h(
      "div",
      { class: "page-tools" },
      h("input", {
        type: "search",
        placeholder: t("audit.find"),
        "aria-label": t("audit.find"),
        value: wanted,
        oninput: (event) => {
          wanted = event.target.value;
          draw();
        },
      }),
    ),
    body,
  ];
}

const COLUMNS = [
  ["searches.number", (one) => h("span", { class: "figures" }, `#${one.number}`)],
  ["fact.time", (one) => h("span", { class: "figures" }, `${clock(Date.parse(one.time))} · ${day(Date.parse(one.time))}`)],
  ["audit.who", (one) => one.account],
  ["audit.what", (one) => chip(actionName(one.action), kindOf(one.action))],
  ["case.title", (one) => h("span", { class: "figures" }, one.case ?? "–")],
  ["where.title", (one) => scopeNames({ units: one.units, cameras: [] })],
  ["audit.details", details],
  ["audit.digest", (one) => h("code", { title: one.digest }, one.digest.slice(0, 10))],
];

const kindOf = (action) =>
  ({ searched: "", traced: "", judged: "", exported: "warn", sign_in_failed: "bad", approval_given: "good", approval_refused: "bad" })[action] ?? "plain";

function details(one) {
  const { results, sightings, scope, format, pictures, enhanced } = one.details;
  const parts = [
    pictures?.length ? t("audit.pictures", { n: pictures.length }) : null,
    enhanced?.some(Boolean) ? t("audit.enhanced", { n: enhanced.filter(Boolean).length }) : null,
    results ? t("audit.results", { n: number(results.length) }) : null,
    !results && sightings?.length ? t("audit.sightings", { n: number(sightings.length) }) : null,
    format ? format.toUpperCase() : null,
    scope?.start ? `${clock(Date.parse(scope.start))} – ${scope.end ? clock(Date.parse(scope.end)) : t("when.open")}` : null,
    one.details.reason ?? one.details.purpose ?? one.details.name ?? null,
  ].filter(Boolean);
  return h("span", { class: "hint", title: JSON.stringify(one.details, null, 1) }, parts.join(" · ") || "–");
}
