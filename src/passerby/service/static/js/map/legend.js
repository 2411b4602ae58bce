// What the colours and lines of the map mean.
import { fill, h } from "../dom.js";
import { number, t } from "../i18n.js";
import { state, subscribe } from "../state.js";
import { chooseLayer, factText, layers } from "../views/facts.js";
import { shownPath } from "../work.js";

export function legend() {
  const box = h("div", { class: "map-legend" });
  const draw = () => {
    if (!state.units) return;
    const path = shownPath()?.visits.length;
    fill(
      box,
      layers().length ? layerChoice() : null,
      h(
        "div",
        { class: "legend-row" },
        h("span", { class: "ramp", "aria-hidden": "true" }, h("i"), h("i"), h("i"), h("i")),
        h("span", {}, state.layer === null ? t("legend.sightings", { level: t(`level.${state.level}`) }) : layerText()),
      ),
      h("div", { class: "legend-row" }, h("span", { class: "legend-camera", "aria-hidden": "true" }), h("span", {}, t("legend.camera"))),
      path
        ? [
            h("div", { class: "legend-row" }, h("span", { class: "legend-line", "aria-hidden": "true" }), h("span", {}, t("legend.known"))),
            h("div", { class: "legend-row" }, h("span", { class: "legend-line unknown", "aria-hidden": "true" }), h("span", {}, t("legend.unknown"))),
          ]
        : null,
    );
  };
  subscribe(["language", "level", "trajectory", "alternative", "units", "facts", "layer", "layerValues"], draw);
  draw();
  return box;
}

function layerChoice() {
  const option = (value, text) => h("option", { value, selected: value === (state.layer ?? "") }, text);
  return h(
    "select",
    {
      "aria-label": t("legend.layer"),
      "data-key": "layer",
      onchange: (event) => chooseLayer(event.target.value || null),
    },
    option("", t("legend.layer_sightings")),
    layers().map(({ name, measure }) => option(name, measure ? `${name} (${measure})` : name)),
  );
}

/** "12 to 340 people; 2 units without a value", of the units of the level. */
function layerText() {
  const facts = [...(state.layerValues?.values() ?? [])].sort((a, b) => a.value - b.value);
  const granted = [...state.units.byCode.values()].filter((unit) => unit.granted && unit.level === state.level);
  if (!facts.length) return t("legend.layer_none", { level: t(`level.${state.level}`) });
  const [least, most] = [facts[0], facts.at(-1)];
  const range =
    least.value === most.value ? factText(most) : t("legend.layer_range", { least: factText({ ...least, measure: "" }), most: factText(most) });
  const partly = facts.filter((one) => one.missing).length;
  const without = granted.length - facts.length;
  return [
    range,
    without ? t("legend.layer_without", { n: number(without) }) : "",
    partly ? t("legend.layer_partly", { n: number(partly) }) : "",
  ].join("");
}
