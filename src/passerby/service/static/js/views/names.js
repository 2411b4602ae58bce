// Names of cameras and units in the chosen language.
import { nameOf } from "../i18n.js";
import { state } from "../state.js";
import { pathOf } from "../units.js";

/** The properties of a camera, or a stand-in with its id. */
export const cameraOf = (id) =>
  state.cameras.find(({ properties }) => properties.id === id)?.properties ?? { id, name: id, name_zh: id };

export const nameOfCamera = (id) => `${id} · ${nameOf(cameraOf(id))}`;

/** "District › Street › Area" of a cell; the city goes without saying. */
export function unitPath(code, { levels = 3 } = {}) {
  const path = pathOf(state.units, code);
  return path.slice(1, 1 + levels).map(nameOf).join(" › ");
}
