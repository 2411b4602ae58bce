// Clocks of cameras: set one, and see what the people who pass several cameras say about all.
import { patch, post } from "../api.js";
import { button, fill, h, openDialog, toast } from "../dom.js";
import { askByForm, explain, field } from "../form.js";
import { number, t } from "../i18n.js";
import { icon } from "../icons.js";
import { problemText } from "../problems.js";
import { state } from "../state.js";
import { chip, date, moment, table } from "./page.js";

export const cameraPath = (one) => `/api/cameras/${encodeURIComponent(one.properties.id)}`;

const signed = (seconds, digits = 0) => number(seconds, { signDisplay: "exceptZero", maximumFractionDigits: digits });
export const clockText = (ms) => h("span", { class: "figures" }, ms ? `${signed(ms / 1000, 3)} s` : "–");

/** Say how many sightings have followed. */
export function followed(done) {
  if (done) toast(t("cameras.followed", { units: number(done.replaced), times: number(done.retimed) }), icon("check"));
  return done;
}

/** Ask for the seconds to add to a camera's clock; `proposed` fills them in. */
export async function setClock(one, proposed = one.properties.clock / 1000) {
  const clock = h("input", { type: "number", step: "any", required: true, value: proposed, name: "clock" });
  const [apply, at] = [h("input", { type: "checkbox" }), date()];
  const send = () => patch(cameraPath(one), { clock: Number(clock.value), apply_clock: apply.checked, at: moment(at) });
  const fields = [field("cameras.clock_offset", clock), field("cameras.at_ever", at), h("label", { class: "check" }, apply, h("span", {}, t("cameras.clock_apply")))];
  return followed(await askByForm("cameras.clock", "cameras.save", send, { why: explain("clock", "cameras.clock_why"), fields }));
}

/** Ask for a window, and show a proposal for each camera, or why there is none. */
export function estimateClocks() {
  const [from, until] = [date(), date()];
  const answer = h("div", { class: "clock-answer" });
  const submit = async (event) => {
    event.preventDefault();
    fill(answer, h("span", { class: "spinner" }));
    try {
      const found = await post("/api/cameras/clocks", { start: moment(from), end: moment(until) });
      fill(answer, estimates(found));
    } catch (error) {
      fill(answer, h("p", { class: "notice bad", role: "alert" }, icon("warning"), h("span", {}, problemText(error))));
    }
  };
  return openDialog(
    t("clocks.title"),
    () =>
      h(
        "form",
        { onsubmit: submit, class: "dialog-body clock-form" },
        explain("clock", "clocks.why"),
        h("div", { class: "field-pair" }, field("clocks.from", from), field("clocks.until", until)),
        button(t("clocks.estimate"), null, { kind: "primary", type: "submit", "data-key": "estimate" }),
        answer,
      ),
    { closeLabel: t("close"), wide: true },
  );
}

function estimates(found) {
  return [
    found.calibrated ? null : explain("warning", "clocks.uncalibrated"),
    found.cut ? explain("warning", "clocks.cut") : null,
    table(
      [
        ["cameras.id", (one) => h("strong", {}, one.camera)],
        ["cameras.clock", (one) => clockText(cameraOf(one)?.properties.clock)],
        ["clocks.offset", offsetText],
        ["clocks.people", (one) => number(one.people)],
        ["clocks.says", (one) => verdict(one, found.least)],
        [null, takeOver],
      ],
      found.cameras,
      { empty: "cameras.none" },
    ),
  ];
}

const cameraOf = (one) => state.cameras.find((camera) => camera.properties.id === one.camera);

const offsetText = (one) =>
  one.reason
    ? "–"
    : h("div", { class: "figures" }, `${signed(one.offset)} s`, h("div", { class: "hint" }, t("clocks.interval", { low: signed(one.low), high: signed(one.high) })));

/** Whether the clock, as it is set now, agrees with what the people say. */
function agrees(one) {
  const seconds = (cameraOf(one)?.properties.clock ?? 0) / 1000;
  return one.low <= seconds && seconds <= one.high;
}

function verdict(one, least) {
  if (!one.reason) return agrees(one) ? chip(t("clocks.right"), "good") : chip(t("clocks.off"), "warn");
  const figures = { ...one, least, low: signed(one.low), high: signed(one.high), offset: signed(one.offset) };
  return h("div", { class: "clock-reason hint" }, t(`clocks.${one.reason}`, figures));
}

function takeOver(one) {
  const camera = cameraOf(one);
  if (one.reason || !camera || camera.properties.valid_to || agrees(one)) return null;
  const take = async (event) => {
    const pressed = event.currentTarget;
    if (!(await setClock(camera, Math.round(one.offset)))) return;
    pressed.replaceWith(chip(t("clocks.taken"), "good"));
  };
  return button(t("clocks.take"), take, { kind: "small", "data-key": `take:${one.camera}` });
}
