// The map: the city's own GeoJSON, what the cameras saw, what was found, where the person went.
import { Map as LibreMap, NavigationControl, ScaleControl, setWorkerUrl } from "../../vendor/maplibre-gl/maplibre-gl.mjs";
import { button, fill, h } from "../dom.js";
import { bounds } from "../geo.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { state, subscribe } from "../state.js";
import { camerasIn, holds } from "../units.js";
import { chooseLayer } from "../views/facts.js";
import { shownPath } from "../work.js";
import * as data from "./data.js";
import { interact } from "./interact.js";
import { legend } from "./legend.js";
import { drawMarkers, movePerson } from "./markers.js";
import { buildStyle, PALETTES } from "./style.js";

setWorkerUrl(new URL("../../vendor/maplibre-gl/maplibre-gl-worker.mjs", import.meta.url).href);

export const CHINESE = '"PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Source Han Sans SC", sans-serif';
let map = null;

/** The map with its tools. */
export function mapView() {
  const canvas = h("div", { class: "map-canvas" });
  const tools = h("div", { class: "map-tools" });
  const host = h("div", { class: "map", role: "region", "aria-label": t("map.title") }, canvas, tools, legend());
  const drawTools = () =>
    fill(
      tools,
      button(null, fitCity, { icon: icon("fit"), kind: "square", label: t("map.fit_city") }),
      button(null, fitPath, {
        icon: icon("route"),
        kind: "square",
        label: t("map.fit_path"),
        disabled: !shownPath()?.visits.length,
      }),
    );
  subscribe(["language", "trajectory", "alternative"], drawTools);
  drawTools();
  create(canvas, host).catch((error) => {
    console.error(error);
    fill(canvas, h("div", { class: "empty" }, icon("warning"), h("strong", {}, t("map.failed")), h("p", { class: "hint" }, t("map.failed_hint"))));
  });
  return host;
}

const sources = () => ({
  base: state.base,
  units: state.units.collection,
  level: data.levelUnits(),
  labels: data.unitLabels(),
  chosen: data.chosenUnits(),
  wedges: data.cameraWedges(),
  cameras: data.cameraPoints(),
  track: data.trackLines(),
  results: data.resultPoints(),
});

async function create(canvas, host) {
  await document.fonts.load("500 16px Inter"); // the map draws letters once, so the font has to be loaded
  map = new LibreMap({
    container: canvas,
    style: buildStyle(state.theme, state.language, sources()),
    bounds: cityBounds(),
    fitBoundsOptions: { padding: 36 },
    maxZoom: 19,
    dragRotate: false,
    pitchWithRotate: false,
    attributionControl: false,
    localIdeographFontFamily: CHINESE,
    fadeDuration: 120,
  });
  map.touchZoomRotate.disableRotation();
  map.addControl(new NavigationControl({ showCompass: false }), "top-right");
  map.addControl(new ScaleControl({ maxWidth: 110 }), "bottom-right");
  map.on("style.load", afterStyleLoad);
  map.once("idle", () => {
    host.dataset.ready = "true";
  });
  interact(map);
  follow(host);
}

/** Restore pictures and feature states, which a new style does not keep. */
function afterStyleLoad() {
  const { track, trackCasing } = PALETTES[state.theme];
  map.addImage("arrow", arrow(track, trackCasing), { pixelRatio: 2 });
  shadeUnits();
  markCameras();
  drawMarkers(map);
}

const setData = (name, value) => map.getSource(name)?.setData(value);

/** Keep the map in step with the state. */
function follow(host) {
  const restyle = () => {
    host.dataset.ready = "";
    map.setStyle(buildStyle(state.theme, state.language, sources()), { diff: false });
    map.once("idle", () => {
      host.dataset.ready = "true";
    });
  };
  subscribe(["theme", "language"], restyle);
  subscribe(["level"], () => {
    setData("level", data.levelUnits());
    setData("labels", data.unitLabels());
    shadeUnits();
    if (state.layer !== null) chooseLayer(state.layer);
  });
  subscribe(["coverage", "layerValues"], shadeUnits);
  subscribe(["chosenUnits"], () => setData("chosen", data.chosenUnits()));
  subscribe(["chosenUnits", "chosenCameras", "trajectory", "alternative"], markCameras);
  subscribe(["search", "selected", "hovered"], () => setData("results", data.resultPoints()));
  subscribe(["trajectory", "alternative"], () => {
    setData("track", data.trackLines());
    shadeUnits();
    drawMarkers(map);
    fitPath();
  });
  subscribe(["playhead", "trajectory", "alternative"], () => movePerson(map));
  new ResizeObserver(() => map.resize()).observe(host);
}

/** Colour the units of the level by what their cameras saw in the window, or by the chosen fact. */
function shadeUnits() {
  if (state.layer !== null) {
    shadeByFact();
    return;
  }
  const counts = data.levelUnits().features.map(({ properties: { code } }) => {
    const own = state.cameras.filter(({ properties }) => holds(code, properties.unit));
    return [code, own.reduce((sum, { properties }) => sum + (state.coverage?.get(properties.id)?.sightings ?? 0), 0)];
  });
  const most = Math.max(1, ...counts.map(([, count]) => count));
  map.setPaintProperty("unit-fill", "fill-opacity", shownPath()?.visits.length ? 0.5 : 1); // the path comes first
  for (const [code, count] of counts) {
    map.setFeatureState({ source: "level", id: code }, { share: counts.length > 1 ? count / most : 0 });
  }
}

const FAINTEST = 0.15; // the share of the smallest value; a unit without a value has none

function shadeByFact() {
  const values = [...(state.layerValues?.values() ?? [])].map(({ value }) => value);
  const least = Math.min(...values);
  const span = Math.max(...values) - least || 1;
  map.setPaintProperty("unit-fill", "fill-opacity", shownPath()?.visits.length ? 0.5 : 1);
  for (const { properties } of data.levelUnits().features) {
    const known = state.layerValues?.get(properties.code);
    const share = known ? FAINTEST + ((1 - FAINTEST) * (known.value - least)) / span : 0;
    map.setFeatureState({ source: "level", id: properties.code }, { share });
  }
}

/** Cameras in the scope stand out, and those on the path more so. */
function markCameras() {
  const inScope = new Set(camerasIn(state.cameras, state.chosenUnits, state.chosenCameras).map(({ properties }) => properties.id));
  const onPath = new Set(shownPath()?.visits.map((visit) => visit.camera) ?? []);
  for (const { properties } of state.cameras) {
    const marks = { in_scope: inScope.has(properties.id), on_path: onPath.has(properties.id) };
    map.setFeatureState({ source: "cameras", id: properties.id }, marks);
    map.setFeatureState({ source: "wedges", id: properties.id }, marks);
  }
}

export function cityBounds() {
  const chosen = [...state.units.byCode.values()].filter((unit) => unit.granted);
  return bounds((chosen.length ? chosen : state.units.roots).map((unit) => unit.geometry.coordinates));
}

const fitCity = () => map?.fitBounds(cityBounds(), { padding: 36, duration: 500 });

function fitPath() {
  const path = shownPath();
  if (!map || !path?.visits.length) return;
  const box = bounds([path.visits.map((visit) => visit.place), ...path.legs.filter((leg) => leg.known).map((leg) => leg.path)]);
  map.fitBounds(box, { padding: { top: 76, bottom: 130, left: 76, right: 76 }, maxZoom: 16.5, duration: 700 });
}

/** An arrow head for the direction along the path, 16 x 16 on the map. */
function arrow(inside, rim) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 32;
  const pen = canvas.getContext("2d");
  pen.beginPath();
  pen.moveTo(7, 6);
  pen.lineTo(27, 16);
  pen.lineTo(7, 26);
  pen.lineTo(12, 16);
  pen.closePath();
  pen.lineJoin = "round";
  pen.lineWidth = 4;
  pen.strokeStyle = rim;
  pen.stroke();
  pen.fillStyle = inside;
  pen.fill();
  return pen.getImageData(0, 0, 32, 32);
}
