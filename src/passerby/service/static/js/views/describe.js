// Names and texts of cameras, units, scores and legs in the chosen language.
import { h } from "../dom.js";
import { nameOf, number, t } from "../i18n.js";
import { state } from "../state.js";
import { duration } from "../time.js";
import { pathOf } from "../units.js";

/** The properties of a camera, or a stand-in with its id. */
export const cameraOf = (id) =>
  state.cameras.find(({ properties }) => properties.id === id)?.properties ?? { id, name: id, name_zh: id };

/** A camera as it was at a moment: the version that held then, or the nearest one. */
export function cameraAt(id, ms) {
  const camera = cameraOf(id);
  const history = camera.history ?? [];
  const held = history.filter((one) => one.valid_from === null || Date.parse(one.valid_from) <= ms).at(-1);
  return held ?? history[0] ?? camera;
}

export const nameOfCamera = (id) => `${id} · ${nameOf(cameraOf(id))}`;

/** "District › Street › Area" of a cell, without the city. */
export function unitPath(code, { levels = 3 } = {}) {
  const path = pathOf(state.units, code);
  return path.slice(1, 1 + levels).map(nameOf).join(" › ");
}

const MOST_NAMES = 3;

/** Units and cameras of a scope by name, the first few of many. */
export function scopeNames({ units, cameras }) {
  const names = [...units.map((code) => nameOf(state.units.byCode.get(code) ?? { name: code })), ...cameras];
  const shown = names.slice(0, MOST_NAMES).join(", ") || "–";
  if (names.length <= MOST_NAMES) return shown;
  return h("span", { title: names.join(", ") }, `${shown} +${names.length - MOST_NAMES}`);
}

/** "87 %" for a probability; a bare number where the network is not calibrated. */
const scoreText = (match) =>
  state.search.calibrated ? number(match.score, { style: "percent" }) : number(match.similarity, { maximumFractionDigits: 2, minimumFractionDigits: 2 });

/** The score of a result as a bar and a number. */
export function score(match) {
  const share = Math.round(100 * Math.min(Math.max(match.score, 0), 1));
  const label = state.search.calibrated ? t("score.calibrated") : t("score.uncalibrated");
  return h(
    "div",
    { class: "score", title: label },
    h("span", { class: `meter ${state.search.calibrated ? "" : "open"}` }, h("span", { style: { width: `${share}%` } })),
    h("strong", {}, scoreText(match)),
    state.search.calibrated ? null : h("span", { class: "hint" }, t("score.short_uncalibrated")),
  );
}

/** "410 m in 5 min, 1.3 m/s", or a text that the way between is unknown. */
export function legText(leg) {
  const time = duration(leg.seconds * 1000);
  const away = leg.unrecorded?.length ? t("leg.unrecorded", { cameras: leg.unrecorded.join(", ") }) : "";
  if (leg.origin === leg.target) return t("leg.again", { time }) + away;
  const far = leg.distance_m === null ? "" : number(Math.round(leg.distance_m));
  if (!leg.known) return t("leg.unknown", { metres: far, time }) + away;
  return t("leg.known", { metres: far, time, speed: number(leg.speed, { maximumFractionDigits: 1 }) }) + away;
}
