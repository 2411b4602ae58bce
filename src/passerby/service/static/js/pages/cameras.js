// Cameras of the administrator's units: add, move, rename, clock, retire, their history and clips.
import { get, patch, post } from "../api.js";
import { button, fill, h, openDialog } from "../dom.js";
import { askByForm, explain, field } from "../form.js";
import { nameOf, t } from "../i18n.js";
import { icon } from "../icons.js";
import { placeMap } from "../map/place.js";
import { state, update } from "../state.js";
import { dateTime } from "../time.js";
import { unitPath } from "../views/describe.js";
import { clipsOf } from "./clips.js";
import { cameraPath, clockText, estimateClocks, followed, setClock } from "./clocks.js";
import { chip, date, moment, pageOf, table } from "./page.js";

export const camerasPage = () =>
  pageOf("page.cameras", "cameras.hint", load, (reload) => [
    button(t("clocks.title"), () => estimateClocks().then(reload), { icon: icon("clock"), "data-key": "clocks" }),
    button(t("cameras.new"), () => add().then((done) => done && reload()), { icon: icon("plus"), kind: "primary", "data-key": "camera-new" }),
  ]);

async function load(reload) {
  update({ cameras: (await get("/api/cameras")).features });
  return table(
    [
      ["cameras.id", (one) => h("strong", {}, one.properties.id)],
      ["cameras.name", (one) => h("div", { class: "camera-name" }, nameOf(one.properties))],
      ["cameras.place", (one) => where(one.properties.unit, one.geometry.coordinates)],
      ["cameras.clock", (one) => clockText(one.properties.clock)],
      ["cameras.since", (one) => since(one.properties)],
      ["case.state", (one) => (one.properties.valid_to ? chip(t("cameras.retired"), "bad") : chip(t("cameras.active"), "good"))],
      [null, (one) => actions(one, reload)],
    ],
    state.cameras,
    { empty: "cameras.none" },
  );
}

const where = (unit, place) =>
  h("div", {}, unitPath(unit), h("div", { class: "hint figures" }, place.map((degrees) => degrees.toFixed(5)).join(", ")));

const since = (one) => (one.valid_from ? dateTime(Date.parse(one.valid_from)) : t("cameras.ever"));

function actions(one, reload) {
  const act = (key, ask) => button(t(key), () => ask(one).then((done) => done && reload()), { kind: "small", "data-key": `${key}:${one.properties.id}` });
  const open = one.properties.valid_to
    ? []
    : [act("cameras.move", move), act("cameras.rename", rename), act("cameras.clock", setClock), act("cameras.retire", retire)];
  return h("div", { class: "row camera-actions" }, open, act("cameras.history", history), act("clips.title", clipsOf));
}

/** Inputs of a place, and a map that fills them. */
function placeFields(from) {
  const degrees = (value, limit) =>
    h("input", { type: "number", required: true, step: "any", min: -limit, max: limit, value: value ?? "" });
  const [longitude, latitude] = [degrees(from?.[0], 180), degrees(from?.[1], 90)];
  const read = () => (longitude.value && latitude.value ? [Number(longitude.value), Number(latitude.value)] : null);
  const map = placeMap(read, ([lon, lat]) => {
    longitude.value = lon.toFixed(6);
    latitude.value = lat.toFixed(6);
  });
  longitude.addEventListener("input", map.redraw);
  latitude.addEventListener("input", map.redraw);
  const fields = [
    explain("place", "cameras.click"),
    map.element,
    h("div", { class: "field-pair" }, field("cameras.longitude", longitude), field("cameras.latitude", latitude)),
  ];
  return { fields, read };
}

async function add() {
  const id = h("input", { required: true, maxlength: 64, pattern: "[\\p{L}\\p{N}_.:\\-]+", autocapitalize: "none", name: "camera-id" });
  const [name, nameZh] = [h("input", { maxlength: 200 }), h("input", { maxlength: 200 })];
  const [place, heading, at] = [placeFields(null), h("input", { type: "number", step: "any" }), date()];
  const send = () =>
    post("/api/cameras", {
      id: id.value,
      name: name.value || null,
      name_zh: nameZh.value || null,
      place: place.read(),
      heading: heading.value ? Number(heading.value) : null,
      at: moment(at),
    });
  return askByForm("cameras.new", "cameras.add", send, {
    fields: [
      field("cameras.id", id),
      h("div", { class: "field-pair" }, field("cameras.name", name), field("cameras.name_zh", nameZh)),
      place.fields,
      field("cameras.heading", heading),
      field("cameras.at_ever", at),
    ],
  });
}

async function move(one) {
  const [place, at] = [placeFields(one.geometry.coordinates), date()];
  const heading = h("input", { type: "number", step: "any", value: one.properties.heading });
  const send = () => patch(cameraPath(one), { place: place.read(), heading: Number(heading.value), at: moment(at) });
  return followed(await askByForm("cameras.move", "cameras.save", send, { fields: [place.fields, field("cameras.heading", heading), field("cameras.at", at)] }));
}

async function rename(one) {
  const [name, nameZh] = [one.properties.name, one.properties.name_zh].map((value) => h("input", { required: true, maxlength: 200, value }));
  const at = date();
  const send = () => patch(cameraPath(one), { name: name.value, name_zh: nameZh.value, at: moment(at) });
  return askByForm("cameras.rename", "cameras.save", send, { fields: [field("cameras.name", name), field("cameras.name_zh", nameZh), field("cameras.at", at)] });
}

async function retire(one) {
  const at = date();
  return askByForm("cameras.retire", "cameras.retire", () => post(`${cameraPath(one)}/retirement`, { at: moment(at) }), { fields: [field("cameras.at", at)] });
}

/** Every version of a camera; nothing changes. */
async function history(one) {
  await openDialog(
    `${t("cameras.history")}: ${one.properties.id}`,
    () => {
      const body = h("div", { class: "dialog-body" });
      fill(
        body,
        table(
          [
            ["cameras.since", since],
            ["cameras.until", (version) => (version.valid_to ? dateTime(Date.parse(version.valid_to)) : "")],
            ["cameras.name", nameOf],
            ["cameras.place", (version) => where(version.unit, version.place)],
            ["cameras.clock", (version) => clockText(version.clock)],
          ],
          one.properties.history,
          { empty: "cameras.none" },
        ),
      );
      return body;
    },
    { closeLabel: t("close"), wide: true },
  );
}
