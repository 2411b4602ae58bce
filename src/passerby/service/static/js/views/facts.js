// What is known of a unit: its card, and the layer of the map that shows one fact of all units.
import { get } from "../api.js";
import { h, openDialog } from "../dom.js";
import { nameOf, number, t } from "../i18n.js";
import { warn } from "../problems.js";
import { state, update } from "../state.js";

/** A value with its unit of measure. */
export const factText = ({ value, measure }) =>
  `${typeof value === "number" ? number(value, { maximumFractionDigits: 2 }) : value}${measure ? ` ${measure}` : ""}`;

/** Facts that the map can show: numbers alone. */
export const layers = () => state.facts.filter((one) => one.numeric);

let asked = 0;

/** Show a fact on the map, or with null what the cameras saw. */
export async function chooseLayer(name, level = state.level) {
  const mine = ++asked;
  if (name === null) {
    update({ layer: null, layerValues: null });
    return;
  }
  try {
    const query = new URLSearchParams({ name, level });
    const values = await get(`/api/facts/values?${query}`);
    if (mine === asked) update({ layer: name, layerValues: new Map(values.map((one) => [one.unit, one])) });
  } catch (error) {
    if (mine === asked) update({ layer: null, layerValues: null });
    warn(error);
  }
}

/** Show all facts of a unit. */
export async function showFacts(unit) {
  let facts;
  try {
    facts = await get(`/api/units/${encodeURIComponent(unit.code)}/facts`);
  } catch (error) {
    warn(error);
    return;
  }
  const head = ["fact", "value", "date", "source"].map((name) => h("th", {}, t(`facts.${name}`)));
  const rows = facts.map((one) =>
    h(
      "tr",
      {},
      h("td", {}, one.name),
      h("td", {}, factText(one), one.derived ? h("div", { class: "hint" }, derivedText(one)) : null),
      h("td", {}, one.date || "–"),
      h("td", {}, one.source || "–"),
    ),
  );
  const table = h("table", { class: "unit-facts" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows));
  await openDialog(
    t("facts.title", { name: nameOf(unit) }),
    () => h("div", { class: "dialog-body table-scroll" }, facts.length ? table : h("p", { class: "hint" }, t("facts.none"))),
    { closeLabel: t("close"), wide: true },
  );
}

const derivedText = ({ units, missing }) =>
  t("facts.derived", { n: number(units) }) + (missing ? t("facts.missing", { n: number(missing) }) : "");
