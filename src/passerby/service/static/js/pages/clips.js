// The clips of a camera: when they were recorded, their gaps; re-timed or deleted after a question.
import { get, patch, remove } from "../api.js";
import { button, fill, h, openDialog, toast } from "../dom.js";
import { askByForm, explain, field } from "../form.js";
import { number, t } from "../i18n.js";
import { icon } from "../icons.js";
import { problemText } from "../problems.js";
import { clock, duration, exactTime } from "../time.js";
import { chip, date, moment, table } from "./page.js";

const AT_ONCE = 100;
const GAPS_SHOWN = 3;

/** Show the clips of a camera in a dialog. */
export function clipsOf(camera) {
  const { id } = camera.properties;
  const body = h("div", { class: "dialog-body" }, h("span", { class: "spinner" }));
  let shown = [];
  const read = async (after) => {
    const query = new URLSearchParams({ camera: id, limit: AT_ONCE, ...(after ? { after } : {}) });
    try {
      const more = await get(`/api/clips?${query}`);
      shown = after ? [...shown, ...more] : more;
      const earlier = button(t("clips.more"), () => read(shown.at(-1).name), { "data-key": "clips-more" });
      fill(body, explain("clock", "clips.hint"), listing(shown, () => read()), more.length === AT_ONCE ? earlier : null);
    } catch (error) {
      fill(body, h("p", { class: "notice bad", role: "alert" }, icon("warning"), h("span", {}, problemText(error))));
    }
  };
  read();
  return openDialog(`${t("clips.title")}: ${id}`, () => body, { closeLabel: t("close"), wide: true });
}

const at = (text) => (text ? exactTime(Date.parse(text)) : "–");

function listing(clips, reload) {
  return table(
    [
      ["clips.start", (one) => h("span", { class: "figures" }, at(one.start))],
      ["clips.length", (one) => h("span", { class: "figures" }, one.first ? duration(Date.parse(one.last) - Date.parse(one.first)) : "–")],
      ["clips.frames", (one) => number(one.frames)],
      ["clips.sightings", (one) => number(one.sightings)],
      ["clips.gaps", gapsText],
      ["clips.source", (one) => h("div", { class: "clip-source" }, one.source || "–", h("div", {}, h("code", {}, one.name)))],
      ["case.state", (one) => chip(t(`clips.${one.state}`), one.state === "stored" ? "good" : "warn")],
      [null, (one) => actions(one, reload)],
    ],
    clips,
    { empty: "clips.none" },
  );
}

/** The first gaps with their times, and how many more there are. */
function gapsText({ gaps }) {
  if (!gaps.length) return "–";
  const lines = gaps.slice(0, GAPS_SHOWN).map(([from, to]) => `${clock(Date.parse(from))} – ${clock(Date.parse(to))}`);
  if (gaps.length > GAPS_SHOWN) lines.push(t("clips.more_gaps", { n: number(gaps.length - GAPS_SHOWN) }));
  return lines.map((line) => h("div", { class: "figures" }, line));
}

function actions(one, reload) {
  const act = (key, ask) => button(t(key), () => ask(one).then((done) => done && reload()), { kind: "small", "data-key": `${key}:${one.name}` });
  return h(
    "div",
    { class: "row" },
    one.state === "deleting" ? null : act("clips.retime", retime),
    one.state === "retiming" ? null : act("clips.delete", erase),
  );
}

const path = (one) => `/api/clips/${one.name}`;

/** Ask for the new start; a re-timing that was cut off is finished without one. */
async function retime(one) {
  const begun = one.state === "retiming";
  const start = date(one.start && Date.parse(one.start), { step: "0.001", required: true });
  const any = h("input", { type: "checkbox" });
  const send = () => patch(path(one), begun ? {} : { start: moment(start), any_time: any.checked });
  const why = begun ? h("p", { class: "notice" }, t("clips.finish", { time: at(one.target) })) : explain("clock", "clips.retime_why");
  const fields = begun ? null : [field("clips.new_start", start), h("label", { class: "check" }, any, h("span", {}, t("clips.any_time")))];
  const done = await askByForm("clips.retime", "clips.retime", send, { why, fields });
  if (done) toast(t("cameras.followed", { units: number(done.replaced), times: number(done.retimed) }), icon("check"));
  return done;
}

async function erase(one) {
  const words = t("clips.delete_sure", { time: at(one.start), n: number(one.sightings) });
  const sure = h("p", { class: "notice warn" }, icon("warning"), h("span", {}, words));
  const done = await askByForm("clips.delete", "clips.delete", () => remove(path(one)), { why: sure, fields: null });
  if (done) toast(t("clips.deleted", { n: number(done.deleted), crops: number(done.crops) }), icon("check"));
  return done;
}
