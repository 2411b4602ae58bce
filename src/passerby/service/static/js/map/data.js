// GeoJSON for the map's sources, made from the page's state.
import { labelPlace, wedge } from "../geo.js";
import { state } from "../state.js";
import { cameraAt } from "../views/describe.js";
import { verdictOf } from "../verdicts.js";
import { shownPath } from "../work.js";

const collection = (features) => ({ type: "FeatureCollection", features });

/** Units of the chosen level, with what their cameras saw as a share of the most. */
export function levelUnits() {
  const features = [...state.units.byCode.values()]
    .filter((unit) => unit.level === state.level)
    .map(({ geometry, ...properties }) => ({ type: "Feature", properties, geometry }));
  return collection(features);
}

/** One point a unit of the chosen level, for its name. */
export function unitLabels() {
  const features = levelUnits().features.map(({ properties, geometry }) => ({
    type: "Feature",
    properties,
    geometry: { type: "Point", coordinates: labelPlace(geometry) },
  }));
  return collection(features);
}

/** The chosen units, whatever their level. */
export function chosenUnits() {
  const features = state.chosenUnits.map((code) => {
    const { geometry, ...properties } = state.units.byCode.get(code);
    return { type: "Feature", properties, geometry };
  });
  return collection(features);
}

/** Cameras as points. */
export const cameraPoints = () => collection(state.cameras);

/** What each camera watches, on the ground. */
export function cameraWedges() {
  const features = state.cameras.map(({ properties, geometry }) => ({
    type: "Feature",
    properties: { id: properties.id },
    geometry: wedge(geometry.coordinates, properties.heading, properties.field_of_view, properties.range),
  }));
  return collection(features);
}

/** The legs of the shown path; a leg whose way is unknown is a straight line. */
export function trackLines() {
  const path = shownPath();
  const features = (path?.legs ?? [])
    .map((leg, i) => ({
      type: "Feature",
      properties: { leg: i, known: leg.known },
      geometry: {
        type: "LineString",
        coordinates: leg.known && leg.path.length > 1 ? leg.path : [path.visits[i].place, path.visits[i + 1].place],
      },
    }))
    .filter(({ properties }) => path.legs[properties.leg].origin !== path.legs[properties.leg].target);
  return collection(features);
}

/** Results where their cameras stood: how many, whether one is confirmed or selected. */
export function resultPoints() {
  const byPlace = new Map();
  for (const match of state.search?.matches ?? []) {
    const camera = cameraAt(match.camera, Date.parse(match.time));
    if (!camera.place) continue;
    const key = `${match.camera} ${camera.place}`;
    byPlace.set(key, { place: camera.place, matches: [...(byPlace.get(key)?.matches ?? []), match] });
  }
  const features = [...byPlace].map(([key, { place, matches }]) => {
    const properties = {
      id: key,
      count: matches.length,
      confirmed: matches.some((match) => verdictOf(match) === "confirmed"),
      selected: matches.some((match) => match.id === state.selected || match.id === state.hovered),
    };
    return { type: "Feature", properties, geometry: { type: "Point", coordinates: place } };
  });
  return collection(features);
}
