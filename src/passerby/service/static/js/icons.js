// Line icons on a 24-unit grid, drawn for this page.
import { h } from "./dom.js";

const PATHS = {
  search: ["M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14Z", "m20 20-4-4"],
  upload: ["M12 16V4", "m7 9 5-5 5 5", "M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3"],
  close: ["M6 6l12 12", "M18 6 6 18"],
  check: ["m5 13 4 4L19 7"],
  cross: ["M7 7l10 10", "M17 7 7 17"],
  compare: ["M4 5h7v14H4z", "M13 5h7v14h-7z"],
  similar: ["M4 7V5a1 1 0 0 1 1-1h2", "M17 4h2a1 1 0 0 1 1 1v2", "M20 17v2a1 1 0 0 1-1 1h-2", "M7 20H5a1 1 0 0 1-1-1v-2", "M12 8a2 2 0 1 0 0 4 2 2 0 0 0 0-4Z", "M8.5 17a3.5 3.5 0 0 1 7 0"],
  camera: ["M3 8a1 1 0 0 1 1-1h9a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1z", "m14 11 6-3v8l-6-3"],
  clock: ["M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16Z", "M12 8v4l3 2"],
  place: ["M12 21s-6.5-5.6-6.5-11a6.5 6.5 0 0 1 13 0c0 5.400-6.500 11-6.500 11Z", "M12 7.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5Z"],
  folder: ["M3 7a1 1 0 0 1 1-1h5l2 2h8a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1z"],
  person: ["M12 4a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7Z", "M5 20a7 7 0 0 1 14 0"],
  people: ["M9 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6Z", "M3 19a6 6 0 0 1 12 0", "M16 5.500a3 3 0 0 1 0 5.500", "M17.500 14a6 6 0 0 1 3.500 5"],
  play: ["M8 5v14l11-7z"],
  pause: ["M8 5v14", "M16 5v14"],
  sun: ["M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8Z", "M12 2v2", "M12 20v2", "M2 12h2", "M20 12h2", "m5 5 1.400 1.400", "m17.600 17.600 1.400 1.400", "m5 19 1.400-1.400", "m17.600 6.400 1.400-1.400"],
  moon: ["M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500Z"],
  exit: ["M10 4H5a1 1 0 0 0-1 1v14a1 1 0 0 0 1 1h5", "M15 8l4 4-4 4", "M19 12H9"],
  warning: ["M12 4 2.500 20h19z", "M12 10v4", "M12 17v.500"],
  info: ["M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16Z", "M12 11v5", "M12 8v.500"],
  download: ["M12 4v12", "m7 11 5 5 5-5", "M4 20h16"],
  shield: ["M12 3 5 6v5c0 4.500 3 8 7 10 4-2 7-5.500 7-10V6z", "m9 12 2 2 4-4"],
  list: ["M8 6h12", "M8 12h12", "M8 18h12", "M4 6h.010", "M4 12h.010", "M4 18h.010"],
  grid: ["M4 4h7v7H4z", "M13 4h7v7h-7z", "M4 13h7v7H4z", "M13 13h7v7h-7z"],
  chevron: ["m9 6 6 6-6 6"],
  down: ["m6 9 6 6 6-6"],
  plus: ["M12 5v14", "M5 12h14"],
  layers: ["m12 4 9 5-9 5-9-5z", "m3 14 9 5 9-5"],
  keyboard: ["M3 7h18v10H3z", "M7 11h.010", "M11 11h.010", "M15 11h.010", "M8 14h8"],
  eye: ["M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12Z", "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6Z"],
  empty: ["M4 13h4l2 3h4l2-3h4", "M4 13V6a1 1 0 0 1 1-1h14a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1z"],
  route: ["M6 4a2 2 0 1 0 0 4 2 2 0 0 0 0-4Z", "M18 16a2 2 0 1 0 0 4 2 2 0 0 0 0-4Z", "M8 6h7a3.500 3.500 0 0 1 0 7H9a3 3 0 0 0 0 5.500h7"],
  fit: ["M4 9V5a1 1 0 0 1 1-1h4", "M15 4h4a1 1 0 0 1 1 1v4", "M20 15v4a1 1 0 0 1-1 1h-4", "M9 20H5a1 1 0 0 1-1-1v-4"],
  menu: ["M4 7h16", "M4 12h16", "M4 17h16"],
  code: ["m8 7-5 5 5 5", "m16 7 5 5-5 5"],
};

/** An icon by name; it is decoration, so screen readers skip it. */
export function icon(name, className = "") {
  return h(
    "svg",
    { class: `icon ${className}`, viewBox: "0 0 24 24", "aria-hidden": "true" },
    PATHS[name].map((d) => h("path", { d })),
  );
}

/** The mark of the product: a path through three cameras. */
export function mark() {
  return h(
    "svg",
    { class: "mark", viewBox: "0 0 32 32", "aria-hidden": "true" },
    h("rect", { width: 32, height: 32, rx: 8, class: "mark-ground" }),
    h("path", { d: "M8 23 L14 12.500 L20 18.500 L25 8.500", class: "mark-path" }),
    h("circle", { cx: 8, cy: 23, r: 2.6, class: "mark-dot" }),
    h("circle", { cx: 14, cy: 12.5, r: 2.6, class: "mark-dot" }),
    h("circle", { cx: 20, cy: 18.5, r: 2.6, class: "mark-dot" }),
    h("circle", { cx: 25, cy: 8.5, r: 2.6, class: "mark-dot last" }),
  );
}
