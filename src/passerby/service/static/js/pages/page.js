// What the pages beside the search have in common: a title, an explanation, a table.
import { fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { problemText } from "../problems.js";
import { fromLocalInput, toLocalInput } from "../time.js";

/** A page that loads its content; `load` returns it. */
export function pageOf(titleKey, hintKey, load, tools = null) {
  const body = h("div", { class: "page-body" }, h("span", { class: "spinner" }));
  const reload = async () => {
    try {
      fill(body, await load(reload));
    } catch (error) {
      fill(body, h("p", { class: "notice bad" }, icon("warning"), h("span", {}, problemText(error))));
    }
  };
  reload();
  return h(
    "div",
    { class: "page-inner" },
    h(
      "div",
      { class: "page-head" },
      h("div", { class: "grow" }, h("h1", {}, t(titleKey)), h("p", { class: "hint" }, t(hintKey))),
      tools?.(reload),
    ),
    body,
  );
}

/** A table; `columns` is [heading key, cell of a row]. */
export function table(columns, rows, { empty } = {}) {
  if (!rows.length) {
    return h("div", { class: "empty" }, icon("empty"), h("strong", {}, t(empty)));
  }
  return h(
    "div",
    { class: "table-scroll", tabindex: 0 }, // a wide table is scrolled by keys
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, columns.map(([key]) => (key ? h("th", { scope: "col" }, t(key)) : h("td", {}))))),
      h("tbody", {}, rows.map((row) => h("tr", {}, columns.map(([, cell]) => h("td", {}, cell(row)))))),
    ),
  );
}

export const chip = (text, kind = "plain") => h("span", { class: `chip ${kind}` }, h("span", {}, text));

/** An input of a moment on the wall clock; empty without one. */
export const date = (ms = null, rest = {}) =>
  h("input", { type: "datetime-local", step: 1, value: ms === null ? "" : toLocalInput(ms, { exact: true }), ...rest });

/** What was typed there, as the service reads it; null for nothing. */
export const moment = (input) => (input.value ? new Date(fromLocalInput(input.value)).toISOString() : null);
