// Erasing for an administrator: which sightings, how many, what holds them, and a second question.
import { get, post } from "../api.js";
import { button, h, toast } from "../dom.js";
import { askByForm, explain, field } from "../form.js";
import { number, t } from "../i18n.js";
import { icon } from "../icons.js";
import { state } from "../state.js";
import { dateTime, fromLocalInput } from "../time.js";
import { pageOf, table } from "./page.js";

const REASONS = ["request", "order", "mistake", "purpose"];

export const erasePage = () =>
  pageOf("page.erase", "erase.hint", load, (reload) =>
    button(t("erase.new"), async () => (await erase()) && reload(), { icon: icon("cross"), kind: "primary", "data-key": "erase-new" }),
  );

async function load() {
  let past = [];
  try {
    past = await get("/api/erasures");
  } catch (error) {
    if (error.code !== "not_found") throw error;
    return explain("info", "erase.part"); // an account of a part of the city
  }
  return table(
    [
      ["erase.when", (one) => dateTime(Date.parse(one.erased))],
      ["erase.reason", (one) => t(`erase.reason.${one.reason}`)],
      ["erase.sightings", (one) => number(one.sightings)],
    ],
    past,
    { empty: "erase.none" },
  );
}

const lines = (area) => area.value.split(/\s+/).filter(Boolean);
const moment = (input) => (input.value ? new Date(fromLocalInput(input.value)).toISOString() : null);

/** Ask whom and why, count, ask once more, erase. */
async function erase() {
  const wanted = await askWhom();
  if (!wanted) return null;
  const done = await askOnceMore(wanted);
  if (!done) return null;
  toast(t("erase.done", numbers(done)), icon("check"));
  if (done.entries) toast(t("erase.entries", numbers(done)), icon("info"));
  if (done.copies) toast(t("erase.copies", { names: done.copies }), icon("warning"));
  return done;
}

const numbers = (done) => Object.fromEntries(Object.entries(done).map(([key, value]) => [key, typeof value === "number" ? number(value) : value]));

/** Resolves with the body of the request and how many sightings it means. */
function askWhom() {
  const forCase = h("input", { required: true, maxlength: 64, name: "case" });
  const [ids, tracklets] = ["sightings", "tracklets"].map((name) => h("textarea", { rows: 2, name }));
  const confirmed = h("input", { maxlength: 64, name: "confirmed" });
  const camera = h("select", { name: "camera" }, h("option", { value: "" }, "–"), state.cameras.map(({ properties: { id } }) => h("option", { value: id }, id)));
  const [start, end] = ["start", "end"].map((name) => h("input", { type: "datetime-local", step: 1, name }));
  const reason = h("select", { name: "reason" }, REASONS.map((one) => h("option", { value: one }, t(`erase.reason.${one}`))));
  const purpose = h("textarea", { rows: 2, required: true, name: "purpose" });
  const send = async () => {
    const body = {
      case: forCase.value.trim(),
      sightings: lines(ids),
      tracklets: lines(tracklets),
      confirmed_in: confirmed.value.trim() || null,
      camera: camera.value || null,
      start: moment(start),
      end: moment(end),
      reason: reason.value,
      purpose: purpose.value,
    };
    return { body, counted: await post("/api/erasures", { ...body, count_only: true }) };
  };
  return askByForm("erase.new", "erase.count", send, {
    why: explain("warning", "erase.why"),
    fields: [
      field("erase.case", forCase),
      h("div", { class: "field-pair" }, field("erase.reason", reason), field("erase.purpose", purpose)),
      field("erase.ids", ids),
      field("erase.tracklets", tracklets),
      field("erase.confirmed", confirmed),
      field("erase.camera", camera),
      h("div", { class: "field-pair" }, field("erase.start", start), field("erase.end", end)),
    ],
  });
}

/** Resolves with what went. */
function askOnceMore({ body, counted }) {
  const despite = h("textarea", { rows: 2, required: true, name: "despite" });
  const held = counted.evidence
    ? [h("p", { class: "notice bad" }, icon("warning"), h("span", {}, t("erase.evidence", { cases: counted.evidence }))), field("erase.despite", despite)]
    : [];
  const send = () => post("/api/erasures", { ...body, despite_evidence: counted.evidence ? despite.value : "" });
  return askByForm("erase.sure", "erase.erase", send, {
    why: h("p", {}, t("erase.would", { count: number(counted.sightings) })),
    fields: held,
  });
}
