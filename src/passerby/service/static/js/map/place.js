// A small map in a form: shows the city and its cameras, and takes a place by a click.
import { Map as LibreMap, Marker, NavigationControl } from "../../vendor/maplibre-gl/maplibre-gl.mjs";
import { h } from "../dom.js";
import { t } from "../i18n.js";
import { state } from "../state.js";
import { cameraPoints, cameraWedges } from "./data.js";
import { CHINESE, cityBounds } from "./map.js";
import { buildStyle } from "./style.js";

/**
 * `read` gives the place that is chosen now, or null; `choose` gets the one that is clicked.
 * Returns the element, and `redraw` for when the place was typed.
 */
export function placeMap(read, choose) {
  const canvas = h("div", { class: "map-canvas" });
  const element = h("div", { class: "map place-map", role: "region", "aria-label": t("map.title") }, canvas);
  let [map, marker] = [null, null];
  const redraw = () => {
    const place = read();
    if (!map || !place || !place.every(Number.isFinite) || Math.abs(place[1]) > 90) return;
    marker ??= new Marker({ element: h("div", { class: "place-pin" }) });
    marker.setLngLat(place).addTo(map);
  };
  const start = () => {
    const data = { base: state.base, units: state.units.collection, cameras: cameraPoints(), wedges: cameraWedges() };
    map = new LibreMap({
      container: canvas,
      style: buildStyle(state.theme, state.language, data),
      bounds: cityBounds(),
      fitBoundsOptions: { padding: 20 },
      maxZoom: 19,
      dragRotate: false,
      pitchWithRotate: false,
      attributionControl: false,
      localIdeographFontFamily: CHINESE,
    });
    map.touchZoomRotate.disableRotation();
    map.addControl(new NavigationControl({ showCompass: false }), "top-right");
    map.on("click", ({ lngLat }) => {
      choose([lngLat.lng, lngLat.lat]);
      redraw();
    });
    map.once("idle", () => {
      element.dataset.ready = "true";
    });
    redraw();
  };
  // a map needs the size of its element, which it has once it is in the page
  const seen = new ResizeObserver(() => {
    if (!canvas.clientWidth) return;
    if (map) map.resize();
    else start();
  });
  seen.observe(canvas);
  return { element, redraw };
}
