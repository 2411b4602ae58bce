// The window to search, in the city's time zone: typed or by presets.
import { h } from "../dom.js";
import { section } from "../form.js";
import { t } from "../i18n.js";
import { state, subscribe, update } from "../state.js";
import { fromLocalInput, toLocalInput, wholeWindow, zone, zoneName } from "../time.js";
import { loadCoverage } from "../work.js";

const HOUR = 3_600_000;
const LENGTHS = [0.5, 1, 6, 24];

export function whenSection() {
  return section("clock", "when.title", ["window", "city"], draw, {
    extra: () => h("span", { class: "hint", title: zone() }, zoneName(state.window.end ?? Date.now())),
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
    wrong ? h("p", { class: "notice bad" }, t("when.wrong")) : null,
  ];
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
