// The cartography: colours of both themes and the style of the base map. No tiles, no glyphs from
// elsewhere; letters are drawn by the browser from the page's own font.

export const PALETTES = {
  light: {
    land: "#f3f2ee",
    outside: "#e6e8ea",
    water: "#bcd8ec",
    waterLine: "#9fc4df",
    park: "#d3e6c8",
    building: "#e6e3dc",
    casing: "#d5d3cc",
    casingMajor: "#cfc6ae",
    alley: "#ffffff",
    secondary: "#ffffff",
    primary: "#fdf0c9",
    path: "#f9f7f1",
    label: "#5a626b",
    halo: "rgba(255,255,255,0.9)",
    unitLine: "#6a7f96",
    unitLabel: "#33475c",
    choropleth: ["rgba(104,72,190,0)", "rgba(104,72,190,0.08)", "rgba(104,72,190,0.17)", "rgba(104,72,190,0.30)"],
    chosen: "#1d5fd1",
    hover: "#1d5fd1",
    camera: "#33475c",
    cameraIdle: "#8d99a6",
    wedge: "#33475c",
    result: "#1d5fd1",
    confirmed: "#13794b",
    track: "#cc3f19",
    trackCasing: "#ffffff",
    onTrack: "#ffffff",
    unknown: "#6f5a52",
  },
  dark: {
    land: "#141b23",
    outside: "#0d1319",
    water: "#16304a",
    waterLine: "#1d3d5e",
    park: "#172a20",
    building: "#1a232d",
    casing: "#0e141a",
    casingMajor: "#0e141a",
    alley: "#2f3d4b",
    secondary: "#394858",
    primary: "#5a5443",
    path: "#2b3742",
    label: "#93a3b3",
    halo: "rgba(13,19,25,0.9)",
    unitLine: "#5d7289",
    unitLabel: "#b9c8d8",
    choropleth: ["rgba(160,130,255,0)", "rgba(150,125,255,0.05)", "rgba(150,125,255,0.10)", "rgba(150,125,255,0.17)"],
    chosen: "#5a9bff",
    hover: "#82b4ff",
    camera: "#c7d4e0",
    cameraIdle: "#6f7f8f",
    wedge: "#c7d4e0",
    result: "#5a9bff",
    confirmed: "#4cc38a",
    track: "#ff7a4d",
    trackCasing: "#0b1016",
    onTrack: "#1d0a03",
    unknown: "#b09a90",
  },
};

const EMPTY = { type: "FeatureCollection", features: [] };
const FONT = ["Inter"];
const zoomed = (...stops) => ["interpolate", ["exponential", 1.55], ["zoom"], ...stops];
const WIDTHS = {
  alley: zoomed(12, 0.4, 14, 1.2, 16, 4.5, 18, 15),
  secondary: zoomed(11, 0.6, 14, 2.6, 16, 7.5, 18, 24),
  primary: zoomed(10, 0.8, 14, 4.2, 16, 11, 18, 34),
  path: zoomed(13, 0.4, 16, 1.8, 18, 6),
};
const KINDS = ["path", "alley", "secondary", "primary"];
const isKind = (kind) =>
  kind === "alley" ? ["!", ["in", ["get", "kind"], ["literal", ["path", "secondary", "primary"]]]] : ["==", ["get", "kind"], kind];
const isLine = ["==", ["geometry-type"], "LineString"];
const streetLayer = (kind, part, paint) => ({
  id: `street-${part}-${kind}`,
  type: "line",
  source: "base",
  filter: ["all", isLine, isKind(kind)],
  layout: { "line-cap": "round", "line-join": "round" },
  paint,
});

const land = (c) => ({
  id: "land",
  type: "fill",
  source: "units",
  filter: ["==", ["get", "parent"], null],
  paint: { "fill-color": c.land },
});

function areas(c) {
  const area = (kind, colour, extra = {}) => ({
    id: `area-${kind}`,
    type: "fill",
    source: "base",
    filter: ["all", ["!", isLine], ["==", ["get", "kind"], kind]],
    paint: { "fill-color": colour, ...extra },
  });
  return [
    area("park", c.park),
    area("water", c.water, { "fill-outline-color": c.waterLine }),
    { ...area("building", c.building), minzoom: 15 },
  ];
}

function streets(c) {
  const casing = (kind) =>
    streetLayer(kind, "casing", {
      "line-color": kind === "primary" ? c.casingMajor : c.casing,
      "line-width": WIDTHS[kind],
      "line-gap-width": 0,
      "line-blur": 0,
    });
  const wider = (layer) => ({ ...layer, paint: { ...layer.paint, "line-width": widened(layer.paint["line-width"]) } });
  const fill = (kind) =>
    streetLayer(kind, "fill", {
      "line-color": c[kind],
      "line-width": WIDTHS[kind],
      ...(kind === "path" ? { "line-dasharray": [2, 1.4] } : {}),
    });
  return [...KINDS.filter((kind) => kind !== "path").map(casing).map(wider), ...KINDS.map(fill)];
}

/** The same widths with a rim on both sides. */
const widened = (expression) => expression.map((value, i) => (i > 2 && i % 2 === 0 ? value * 1.12 + 1.5 : value));

function streetLabels(c, name) {
  const label = (kind, minzoom, size) => ({
    id: `street-label-${kind}`,
    type: "symbol",
    source: "base",
    minzoom,
    filter: ["all", isLine, isKind(kind), ["!=", ["get", name], ""]],
    layout: {
      "symbol-placement": "line",
      "symbol-spacing": 320,
      "text-field": ["get", name],
      "text-font": FONT,
      "text-size": size,
      "text-max-angle": 30,
      "text-padding": 6,
    },
    paint: { "text-color": c.label, "text-halo-color": c.halo, "text-halo-width": 1.4 },
  });
  return [label("alley", 15.8, 10.5), label("secondary", 14.6, 11), label("primary", 13.6, 11.5)];
}

/** What the cameras of each unit saw; under water, parks and streets, so that these stay clear. */
const choropleth = (c) => ({
  id: "unit-fill",
  type: "fill",
  source: "level",
  paint: {
    "fill-color": [
      "interpolate",
      ["linear"],
      ["coalesce", ["feature-state", "share"], 0],
      0, c.choropleth[0],
      0.15, c.choropleth[1],
      0.5, c.choropleth[2],
      1, c.choropleth[3],
    ],
  },
});

function units(c) {
  return [
    {
      id: "unit-hover",
      type: "fill",
      source: "level",
      paint: {
        "fill-color": c.hover,
        "fill-opacity": ["case", ["boolean", ["feature-state", "hover"], false], 0.12, 0],
      },
    },
    {
      id: "unit-line",
      type: "line",
      source: "level",
      paint: { "line-color": c.unitLine, "line-width": 1.1, "line-dasharray": [4, 2.5], "line-opacity": 0.75 },
    },
    { id: "chosen-fill", type: "fill", source: "chosen", paint: { "fill-color": c.chosen, "fill-opacity": 0.09 } },
    { id: "chosen-line", type: "line", source: "chosen", layout: { "line-join": "round" }, paint: { "line-color": c.chosen, "line-width": 2.4 } },
  ];
}

/** Names of the units of the level; drawn last, so that street names make room for them. */
const unitLabels = (c, name) => ({
  id: "unit-label",
  type: "symbol",
  source: "labels",
  layout: {
    "text-field": ["get", name],
    "text-font": FONT,
    "text-size": ["case", ["in", ["get", "level"], ["literal", ["city", "district"]]], 15, 11.5],
    "text-letter-spacing": 0.05,
    "text-max-width": 7,
    "text-padding": 8,
  },
  paint: { "text-color": c.unitLabel, "text-halo-color": c.halo, "text-halo-width": 2 },
});

/** The style of the map in a theme and a language; data come later, by setData. */
export function buildStyle(theme, language, data) {
  const c = PALETTES[theme];
  const name = language === "zh" ? "name_zh" : "name";
  const source = (from, extra = {}) => ({ type: "geojson", data: from ?? EMPTY, ...extra });
  return {
    version: 8,
    sources: {
      base: source(data.base),
      units: source(data.units),
      level: source(data.level, { promoteId: "code" }),
      labels: source(data.labels),
      chosen: source(data.chosen),
      wedges: source(data.wedges, { promoteId: "id" }),
      cameras: source(data.cameras, { promoteId: "id" }),
      track: source(data.track),
      results: source(data.results, { promoteId: "id" }),
    },
    layers: [
      { id: "outside", type: "background", paint: { "background-color": c.outside } },
      land(c),
      choropleth(c),
      ...areas(c),
      ...streets(c),
      ...units(c),
      ...streetLabels(c, name),
      ...overlays(c),
      unitLabels(c, name),
    ],
  };
}

const state = (name) => ["boolean", ["feature-state", name], false];

/** Cameras, results and the path, above everything else. */
function overlays(c) {
  const line = (id, known, paint) => ({
    id,
    type: "line",
    source: "track",
    filter: ["==", ["get", "known"], known],
    layout: { "line-cap": known ? "round" : "butt", "line-join": "round" },
    paint,
  });
  return [
    {
      id: "camera-wedge",
      type: "fill",
      source: "wedges",
      paint: { "fill-color": ["case", state("on_path"), c.track, c.wedge], "fill-opacity": ["case", state("in_scope"), 0.2, 0.07] },
    },
    // a little to the right of the way, so that there and back do not hide each other
    line("track-casing", true, { "line-color": c.trackCasing, "line-width": 8, "line-offset": 3.5, "line-opacity": 0.9 }),
    line("track-known", true, { "line-color": c.track, "line-width": 5, "line-offset": 3.5 }),
    line("track-gap-casing", false, { "line-color": c.trackCasing, "line-width": 5, "line-opacity": 0.75 }),
    line("track-gap", false, { "line-color": c.unknown, "line-width": 2.6, "line-dasharray": [1.4, 1.8] }),
    {
      id: "track-arrows",
      type: "symbol",
      source: "track",
      filter: ["==", ["get", "known"], true],
      layout: {
        "symbol-placement": "line",
        "symbol-spacing": 84,
        "icon-image": "arrow",
        "icon-size": 0.85,
        "icon-offset": [0, 4.1],
        "icon-allow-overlap": true,
        "icon-ignore-placement": true,
      },
    },
    {
      id: "camera-dot",
      type: "circle",
      source: "cameras",
      paint: {
        "circle-radius": zoomed(11, 2.4, 14, 4.2, 17, 7),
        "circle-color": ["case", state("in_scope"), c.camera, c.cameraIdle],
        "circle-stroke-color": c.trackCasing,
        "circle-stroke-width": 1.5,
      },
    },
    {
      id: "camera-label",
      type: "symbol",
      source: "cameras",
      minzoom: 14.2,
      layout: {
        "text-field": ["get", "id"],
        "text-font": FONT,
        "text-size": 10,
        "text-offset": [0, 1.15],
        "text-anchor": "top",
      },
      paint: { "text-color": c.label, "text-halo-color": c.halo, "text-halo-width": 1.4 },
    },
    {
      id: "results",
      type: "circle",
      source: "results",
      paint: {
        "circle-radius": ["interpolate", ["linear"], ["get", "count"], 1, 7, 8, 15],
        "circle-color": ["case", ["get", "confirmed"], c.confirmed, c.result],
        "circle-opacity": 0.16,
        "circle-stroke-color": ["case", ["get", "confirmed"], c.confirmed, c.result],
        "circle-stroke-width": ["case", ["get", "selected"], 3, 1.2],
      },
    },
  ];
}
