// What the colours and lines of the map mean.
import { fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { state, subscribe } from "../state.js";
import { shownPath } from "../work.js";

export function legend() {
  const box = h("div", { class: "map-legend" });
  const draw = () => {
    if (!state.units) return;
    const path = shownPath()?.visits.length;
    fill(
      box,
      h(
        "div",
        { class: "legend-row" },
        h("span", { class: "ramp", "aria-hidden": "true" }, h("i"), h("i"), h("i"), h("i")),
        h("span", {}, t("legend.sightings", { level: t(`level.${state.level}`) })),
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
  subscribe(["language", "level", "trajectory", "alternative", "units"], draw);
  draw();
  return box;
}
