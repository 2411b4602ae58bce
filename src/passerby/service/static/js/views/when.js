// The window to search, in the city's time zone: typed or by presets.
import { h, segmented } from "../dom.js";
import { section } from "../form.js";
import { t } from "../i18n.js";
import { state, subscribe, update } from "../state.js";
import { fromLocalInput, momentsOf, toLocalInput, wholeWindow, zone, zoneName, zones } from "../time.js";
import { loadCoverage } from "../work.js";

const HOUR = 3_600_000;
const LENGTHS = [0.5, 1, 6, 24];

export function whenSection() {
  return section("clock", "when.title", ["window", "city", "zone"], draw, {
    extra: () => h("span", { class: "hint" }, zoneName(state.window.end ?? Date.now())),
  });
}

const set = (change) => update({ window: { ...state.window, ...change } });

function draw() {
  const { start, end } = state.window;
  const input = (key, value, label) =>
    h(
      "label",
      { class: "field" },
      h("span", {}, label),
      h("input", {
        type: "datetime-local",
        value: value === null ? "" : toLocalInput(value),
        "data-key": key,
        onchange: (event) => set({ [key]: fromLocalInput(event.target.value) }),
      }),
    );
  const wrong = start !== null && end !== null && end <= start;
  return [
    presets(),
    h("div", { class: "when-fields" }, input("start", start, t("when.from")), input("end", end, t("when.to"))),
    twice("start", start, t("when.from")),
    twice("end", end, t("when.to")),
    zoneChoice(),
    wrong ? h("p", { class: "notice bad" }, t("when.wrong")) : null,
  ];
}

/** Where the clocks go back an hour comes twice: which of the two is meant. */
function twice(key, ms, label) {
  const both = ms === null ? [] : momentsOf(toLocalInput(ms)).map((one) => one + (ms % 60_000));
  if (both.length < 2) return null;
  return h(
    "div",
    { class: "row wrap when-twice" },
    h("span", { class: "hint" }, `${label}: ${t("when.twice")}`),
    segmented(both.map((one) => [one, zoneName(one)]), ms, (one) => set({ [key]: one }), `${label} ${t("when.twice")}`),
  );
}

/** The zone of all times on the page; the city's unless another is chosen for this browser. */
function zoneChoice() {
  const choose = (event) => {
    const chosen = event.target.value === state.city.time_zone ? null : event.target.value;
    if (chosen) localStorage.setItem("passerby.zone", chosen);
    else localStorage.removeItem("passerby.zone");
    update({ zone: chosen });
  };
  return h(
    "label",
    { class: "field" },
    h("span", {}, t("when.zone")),
    h(
      "select",
      { onchange: choose, "data-key": "zone" },
      zones().map((one) =>
        h("option", { value: one, selected: one === zone() }, one === state.city.time_zone ? t("when.city_zone", { zone: one }) : one),
      ),
    ),
  );
}

/** Windows that end with the last sighting, so that "the last hour" also works for old records. */
function presets() {
  const whole = wholeWindow(state.city);
  if (whole.end === null) return null;
  const length = whole.end - whole.start;
  const choices = [
    ["all", whole],
    ...LENGTHS.filter((hours) => hours * HOUR < length).map((hours) => [
      String(hours),
      { start: whole.end - hours * HOUR, end: whole.end },
    ]),
  ];
  const { start, end } = state.window;
  return h(
    "div",
    { class: "segmented", role: "group", "aria-label": t("when.presets") },
    choices.map(([name, window]) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": String(window.start === start && window.end === end),
          "data-key": `preset:${name}`,
          onclick: () => update({ window }),
        },
        name === "all" ? t("when.all") : name === "0.5" ? t("when.last_half") : t("when.last", { n: name }),
      ),
    ),
  );
}

let waiting = 0;
subscribe(["window"], () => {
  clearTimeout(waiting);
  if (state.session?.account.may.includes("search")) waiting = setTimeout(loadCoverage, 250);
});
