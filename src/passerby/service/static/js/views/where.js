// The units to search: a tree with a search field. Clicks on the map choose units too.
import { button, fill, h, segmented } from "../dom.js";
import { section } from "../form.js";
import { nameOf, number, t } from "../i18n.js";
import { icon } from "../icons.js";
import { state, subscribe, update } from "../state.js";
import { findUnits, holds, pathOf, toggleUnit } from "../units.js";
import { showFacts } from "./facts.js";

const open = new Set(); // codes of the units whose children are shown
let wanted = "";

export function whereSection() {
  return section("place", "where.title", ["units", "level"], draw, {
    extra: () => levelHint(),
  });
}

const levelHint = () => h("span", { class: "hint" }, t("where.click_map"));

function draw() {
  if (!state.units) return null;
  for (const root of state.units.roots) open.add(root.code);
  const list = h("div", { class: "tree", role: "list", "aria-label": t("where.title") });
  const chips = h("div", { class: "row wrap chips" });
  const refresh = () => {
    fill(list, wanted ? foundUnits() : branches(state.units.roots, 0));
    fill(chips, chosenChips());
  };
  const field = h("input", {
    type: "search",
    placeholder: t("where.find"),
    "aria-label": t("where.find"),
    value: wanted,
    "data-key": "find-unit",
    oninput: (event) => {
      wanted = event.target.value;
      refresh();
    },
  });
  stop?.();
  stop = subscribe(["chosenUnits", "chosenCameras", "coverage"], refresh);
  redraw = refresh;
  refresh();
  return [
    segmented(
      state.units.levels.map((level) => [level, t(`level.${level}`)]),
      state.level,
      (level) => update({ level }),
      t("where.level"),
    ),
    chips,
    field,
    list,
  ];
}

let stop = null;
let redraw = () => {};

function foundUnits() {
  const found = findUnits(state.units, wanted);
  if (!found.length) return h("p", { class: "hint" }, t("where.nothing"));
  return found.map((unit) => row(unit, 0, { withPath: true }));
}

function branches(units, depth) {
  return units.flatMap((unit) => [
    row(unit, depth),
    ...(open.has(unit.code) ? branches(state.units.children.get(unit.code) ?? [], depth + 1) : []),
  ]);
}

/** Sightings in a unit and the window, from what its cameras saw. */
function sightingsIn(code) {
  if (!state.coverage) return null;
  return state.cameras
    .filter(({ properties }) => holds(code, properties.unit))
    .reduce((sum, { properties }) => sum + (state.coverage.get(properties.id)?.sightings ?? 0), 0);
}

function row(unit, depth, { withPath = false } = {}) {
  const children = state.units.children.get(unit.code) ?? [];
  const expanded = open.has(unit.code);
  const chosen = state.chosenUnits.includes(unit.code);
  const inside = !chosen && state.chosenUnits.some((code) => holds(code, unit.code));
  const above = !chosen && state.chosenUnits.some((code) => holds(unit.code, code));
  const toggle = () => {
    if (expanded) open.delete(unit.code);
    else open.add(unit.code);
    redraw();
  };
  const path = pathOf(state.units, unit.code).slice(1, -1).map(nameOf).join(" · ");
  const count = sightingsIn(unit.code);
  return h(
    "div",
    {
      class: `tree-row ${inside ? "inside" : ""}`,
      role: "listitem",
      style: { paddingLeft: `${depth * 14}px` },
    },
    children.length && !withPath
      ? button(null, toggle, {
          icon: icon(expanded ? "down" : "chevron"),
          kind: "quiet tree-toggle",
          label: t(expanded ? "where.fold" : "where.unfold", { name: nameOf(unit) }),
          "aria-expanded": String(expanded),
          "data-key": `fold:${unit.code}`,
        })
      : h("span", { class: "tree-toggle" }),
    h(
      "label",
      { class: "tree-label" },
      h("input", {
        type: "checkbox",
        checked: chosen || inside,
        indeterminate: above,
        disabled: !unit.granted || inside,
        "data-key": `unit:${unit.code}`,
        onchange: () => update({ chosenUnits: toggleUnit(state.chosenUnits, unit.code) }),
      }),
      h("span", { class: "tree-name" }, nameOf(unit), withPath && path ? h("span", { class: "hint" }, ` ${path}`) : null),
    ),
    state.facts.length && unit.granted
      ? button(null, () => showFacts(unit), {
          icon: icon("info"),
          kind: "quiet tree-toggle",
          label: t("facts.open", { name: nameOf(unit) }),
          "data-key": `facts:${unit.code}`,
        })
      : null,
    count ? h("span", { class: "tree-count", title: t("where.count") }, number(count)) : null,
  );
}

function chosenChips() {
  const chip = (text, drop, symbol) =>
    h(
      "span",
      { class: "chip" },
      symbol ? icon(symbol) : null,
      h("span", {}, text),
      h("button", { type: "button", onclick: drop, "aria-label": t("where.drop", { name: text }) }, icon("close")),
    );
  const units = state.chosenUnits.map((code) =>
    chip(nameOf(state.units.byCode.get(code)), () => update({ chosenUnits: toggleUnit(state.chosenUnits, code) })),
  );
  const cameras = state.chosenCameras.map((id) =>
    chip(id, () => update({ chosenCameras: state.chosenCameras.filter((other) => other !== id) }), "camera"),
  );
  if (!units.length && !cameras.length) return h("span", { class: "chip plain" }, t("where.everywhere"));
  return [...units, ...cameras];
}
