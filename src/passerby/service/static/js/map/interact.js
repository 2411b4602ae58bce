// The pointer on the map: hover and choose units, show what a camera saw.
import { Popup } from "../../vendor/maplibre-gl/maplibre-gl.mjs";
import { button, fill, h } from "../dom.js";
import { nameOf, number, t } from "../i18n.js";
import { icon } from "../icons.js";
import { state, update } from "../state.js";
import { clock } from "../time.js";
import { toggleUnit } from "../units.js";
import { browseCamera } from "../views/browse.js";
import { cameraOf, unitPath } from "../views/describe.js";

const CAMERAS = ["camera-dot", "results"];

/** Listen to the pointer on the map. */
export function interact(map) {
  let lit = null;
  const light = (code) => {
    if (lit === code) return;
    if (lit !== null) map.setFeatureState({ source: "level", id: lit }, { hover: false });
    lit = code;
    if (lit !== null) map.setFeatureState({ source: "level", id: lit }, { hover: true });
  };
  const tip = new Popup({ closeButton: false, closeOnClick: false, offset: 10, className: "map-tip" });
  const found = (point, layers) => {
    const box = [[point.x - 4, point.y - 4], [point.x + 4, point.y + 4]];
    return map.queryRenderedFeatures(box, { layers: layers.filter((id) => map.getLayer(id)) })[0]?.properties;
  };

  map.on("mousemove", (event) => {
    const camera = found(event.point, CAMERAS);
    const unit = camera ? null : found(event.point, ["unit-fill"]);
    light(unit?.granted ? unit.code : null);
    map.getCanvas().style.cursor = camera || unit?.granted ? "pointer" : "";
    if (camera) tip.setLngLat(event.lngLat).setDOMContent(cameraTip(camera.id)).addTo(map);
    else tip.remove();
  });
  map.on("mouseout", () => {
    light(null);
    tip.remove();
  });
  map.on("click", (event) => {
    const camera = found(event.point, CAMERAS);
    if (camera) {
      tip.remove();
      cameraMenu(map, camera.id, event.lngLat);
      return;
    }
    const unit = found(event.point, ["unit-fill"]);
    if (unit?.granted) update({ chosenUnits: toggleUnit(state.chosenUnits, unit.code) });
  });
}

function cameraTip(id) {
  const camera = cameraOf(id);
  const seen = state.coverage?.get(id);
  const box = h("div", {});
  fill(
    box,
    h("strong", {}, `${id} · ${nameOf(camera)}`),
    h("div", { class: "hint" }, unitPath(camera.unit)),
    h(
      "div",
      { class: seen?.sightings ? "" : "hint" },
      seen?.sightings
        ? t("camera.saw", { n: number(seen.sightings), from: clock(Date.parse(seen.first)), to: clock(Date.parse(seen.last)) })
        : t(seen?.recorded === 0 ? "camera.unrecorded" : "camera.silent"),
    ),
    seen?.recorded > 0 && seen.recorded < 1
      ? h("div", { class: "hint" }, t("camera.partly", { part: number(seen.recorded, { style: "percent" }) }))
      : null,
  );
  return box;
}

function cameraMenu(map, id, place) {
  const chosen = state.chosenCameras.includes(id);
  const popup = new Popup({ closeButton: false, offset: 10, className: "map-tip" });
  const toggle = () => {
    popup.remove();
    update({ chosenCameras: chosen ? state.chosenCameras.filter((other) => other !== id) : [...state.chosenCameras, id] });
  };
  const browse = () => {
    popup.remove();
    browseCamera(id);
  };
  const box = cameraTip(id);
  box.append(
    h(
      "div",
      { class: "tip-actions" },
      button(t(chosen ? "camera.drop" : "camera.only"), toggle, { icon: icon("camera"), kind: "small" }),
      button(t("camera.browse"), browse, { icon: icon("eye"), kind: "small", disabled: !state.caseId || !state.coverage?.get(id)?.sightings }),
    ),
  );
  popup.setLngLat(place).setDOMContent(box).addTo(map);
}
