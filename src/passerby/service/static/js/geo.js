// A little geometry on (lon, lat) degrees; good for distances inside one city.

const METRES = 111_320; // per degree of latitude

const scale = (lat) => Math.cos((lat * Math.PI) / 180);

/** Metres between two places. */
function metres([lonA, latA], [lonB, latB]) {
  const x = (lonB - lonA) * scale((latA + latB) / 2) * METRES;
  return Math.hypot(x, (latB - latA) * METRES);
}

/** The place `distance` metres from another, at `bearing` degrees clockwise from north. */
function offsetPlace([lon, lat], bearing, distance) {
  const angle = (bearing * Math.PI) / 180;
  return [
    lon + (Math.sin(angle) * distance) / (METRES * scale(lat)),
    lat + (Math.cos(angle) * distance) / METRES,
  ];
}

/** The ground a camera watches, as a polygon: a sector of its field of view and range. */
export function wedge(place, heading, fieldOfView, range) {
  if (fieldOfView >= 360) {
    const ring = Array.from({ length: 33 }, (_, i) => offsetPlace(place, (i * 360) / 32, range));
    return { type: "Polygon", coordinates: [ring] };
  }
  const steps = 12;
  const arc = Array.from({ length: steps + 1 }, (_, i) =>
    offsetPlace(place, heading - fieldOfView / 2 + (fieldOfView * i) / steps, range),
  );
  return { type: "Polygon", coordinates: [[place, ...arc, place]] };
}

/** [[west, south], [east, north]] of any number of coordinate lists. */
export function bounds(coordinates) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  const visit = (value) => {
    if (typeof value[0] === "number") {
      box[0] = Math.min(box[0], value[0]);
      box[1] = Math.min(box[1], value[1]);
      box[2] = Math.max(box[2], value[0]);
      box[3] = Math.max(box[3], value[1]);
    } else value.forEach(visit);
  };
  coordinates.forEach(visit);
  return Number.isFinite(box[0]) ? [[box[0], box[1]], [box[2], box[3]]] : null;
}

/** The place at a share 0..1 of a line's length. */
export function along(line, share) {
  const lengths = line.slice(1).map((place, i) => metres(line[i], place));
  let left = lengths.reduce((sum, length) => sum + length, 0) * Math.min(Math.max(share, 0), 1);
  for (let i = 0; i < lengths.length; i += 1) {
    if (left <= lengths[i] && lengths[i] > 0) {
      const part = left / lengths[i];
      return [0, 1].map((axis) => line[i][axis] + (line[i + 1][axis] - line[i][axis]) * part);
    }
    left -= lengths[i];
  }
  return line[line.length - 1];
}

/** A place inside a polygon for its label: the mean of the outer ring's corners is enough. */
export function labelPlace(geometry) {
  const rings = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
  const ring = rings.map((polygon) => polygon[0]).sort((a, b) => b.length - a.length)[0];
  let area = 0;
  let x = 0;
  let y = 0;
  const [ox, oy] = ring[0];
  for (let i = 0; i < ring.length - 1; i += 1) {
    const [ax, ay] = [ring[i][0] - ox, ring[i][1] - oy];
    const [bx, by] = [ring[i + 1][0] - ox, ring[i + 1][1] - oy];
    const cross = ax * by - bx * ay;
    area += cross;
    x += (ax + bx) * cross;
    y += (ay + by) * cross;
  }
  return area ? [ox + x / (3 * area), oy + y / (3 * area)] : ring[0];
}
