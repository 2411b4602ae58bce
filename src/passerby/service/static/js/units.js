// The tree of units on the page, built from the service's GeoJSON.

const LEVELS = ["city", "district", "street", "area", "cell"];

/** Index a FeatureCollection of units: by code, by parent, by level. */
export function buildTree(collection) {
  const byCode = new Map();
  const children = new Map();
  for (const feature of collection.features) {
    const unit = { ...feature.properties, geometry: feature.geometry };
    byCode.set(unit.code, unit);
    const siblings = children.get(unit.parent) ?? [];
    siblings.push(unit);
    children.set(unit.parent, siblings);
  }
  const levels = LEVELS.filter((level) => [...byCode.values()].some((unit) => unit.level === level));
  const roots = children.get(null) ?? [];
  return { byCode, children, levels, roots, collection };
}

/** From the top down to the unit itself. */
export function pathOf(tree, code) {
  const path = [];
  for (let unit = tree.byCode.get(code); unit; unit = tree.byCode.get(unit.parent)) path.unshift(unit);
  return path;
}

/** Whether `outer` is `inner` or above it. */
export const holds = (outer, inner) => inner.startsWith(outer);

/** Units whose name (in either language) or code holds a text. */
export function findUnits(tree, text, most = 40) {
  const wanted = text.trim().toLowerCase();
  const found = [];
  for (const unit of tree.byCode.values()) {
    if (!unit.granted) continue;
    const hit =
      unit.name.toLowerCase().includes(wanted) ||
      unit.name_zh?.toLowerCase().includes(wanted) ||
      unit.code.startsWith(wanted);
    if (hit) found.push(unit);
    if (found.length >= most) break;
  }
  return found;
}

/** Cameras (features) that a scope searches. */
export function camerasIn(cameras, units, ids) {
  return cameras.filter(({ properties: camera }) => {
    if (ids.length && !ids.includes(camera.id)) return false;
    return !units.length || units.some((code) => holds(code, camera.unit));
  });
}

/** Choose or drop a unit; choosing one drops those inside it and those around it. */
export function toggleUnit(chosen, code) {
  if (chosen.includes(code)) return chosen.filter((other) => other !== code);
  return [...chosen.filter((other) => !holds(other, code) && !holds(code, other)), code].sort();
}
