// HTML markers on the map: numbered visits, and the person at the playhead.
import { Marker } from "../../vendor/maplibre-gl/maplibre-gl.mjs";
import { h } from "../dom.js";
import { t } from "../i18n.js";
import { state, update } from "../state.js";
import { clock } from "../time.js";
import { nameOfCamera } from "../views/describe.js";
import { resultOf, shownPath } from "../work.js";
import { placeAt } from "./playback.js";

let visits = [];
let person = null;

/** Draw the visits anew: one mark a camera, with the numbers of all visits to it. */
export function drawMarkers(map) {
  visits.forEach((marker) => marker.remove());
  visits = [];
  const byCamera = new Map();
  shownPath()?.visits.forEach((visit, i) => {
    byCamera.set(visit.camera, [...(byCamera.get(visit.camera) ?? []), [i + 1, visit]]);
  });
  const count = shownPath()?.visits.length ?? 0;
  for (const own of byCamera.values()) {
    const [, first] = own[0];
    const numbers = own.map(([n]) => n);
    const kind = numbers.includes(1) ? "first" : numbers.includes(count) ? "last" : "";
    const label = own.map(([n, visit]) => `${t("path.visit", { n })}: ${clock(Date.parse(visit.arrive))}`).join(", ");
    const element = h(
      "button",
      {
        type: "button",
        class: `visit-pin ${kind} ${Math.max(...own.map(([, visit]) => visit.confidence)) < 0.5 ? "faint" : ""}`,
        title: `${nameOfCamera(first.camera)}\n${label}`,
        onclick: (event) => {
          event.stopPropagation();
          update({ playing: false, playhead: Date.parse(first.arrive), selected: resultOf(first) ?? state.selected });
        },
      },
      numbers.join("·"),
      h("span", { class: "visually-hidden" }, ` ${nameOfCamera(first.camera)}, ${label}`),
    );
    visits.push(new Marker({ element, anchor: "bottom", offset: [0, -7] }).setLngLat(first.place).addTo(map));
  }
  movePerson(map);
}

/** Move the person to the place of the playhead; remove the marker when no place is known. */
export function movePerson(map) {
  const now = state.playhead === null ? null : placeAt(shownPath(), state.playhead);
  if (!now) {
    person?.remove();
    person = null;
    return;
  }
  if (!person) {
    person = new Marker({ element: h("div", { class: "person-dot", "aria-hidden": "true" }), anchor: "center" });
    person.setLngLat(now.place).addTo(map);
  }
  person.setLngLat(now.place);
  person.getElement().classList.toggle("unknown", !now.known);
}
