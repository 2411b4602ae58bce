// The bar below the map: visits and results in time, with a playhead to scrub and to play.
import { button, fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { state, subscribe, update } from "../state.js";
import { axisTicks, clock, day, duration, zoneName } from "../time.js";
import { verdictOf } from "../verdicts.js";
import { resultOf, shownPath } from "../work.js";
import { startPlayback } from "../map/playback.js";
import { legText, nameOfCamera } from "./describe.js";

const PAD = 28; // pixels left and right of the first and last moment
const SPEEDS = [30, 60, 120, 300];

export function timeline() {
  const controls = h("div", { class: "timeline-controls" });
  const plot = h("div", { class: "timeline-plot" });
  const element = h("section", { class: "timeline", "aria-label": t("timeline.title") }, controls, plot);
  const now = h("div", { class: "timeline-now" });
  const drawNow = () => state.city && fill(now, moment());
  const drawControls = () => state.city && fill(controls, controlRow(now));
  const draw = () => state.city && drawPlot(plot);
  new ResizeObserver(draw).observe(plot);
  subscribe(["language", "playing", "trajectory", "alternative", "speed"], drawControls);
  subscribe(["language", "playhead", "zone"], drawNow); // apart: a control that is drawn anew cannot be clicked
  subscribe(["language", "search", "trajectory", "alternative", "window", "selected", "city", "zone"], draw);
  subscribe(["playhead"], () => movePlayhead(plot));
  subscribe(["playing"], () => state.playing && startPlayback());
  drawControls();
  drawNow();
  return element;
}

/** The moment of the playhead, with its zone. */
const moment = () => [
  h("strong", {}, state.playhead === null ? "–" : clock(state.playhead)),
  h("span", { class: "hint" }, state.playhead === null ? t("timeline.none") : day(state.playhead)),
  h("span", { class: "hint" }, zoneName(state.playhead ?? Date.now())),
];

function controlRow(now) {
  const path = shownPath();
  const ready = Boolean(path?.visits.length);
  return [
    button(null, () => update({ playing: !state.playing }), {
      icon: icon(state.playing ? "pause" : "play", "solid"),
      kind: "square primary round",
      label: t(state.playing ? "timeline.pause" : "timeline.play"),
      disabled: !ready,
      "data-key": "play",
    }),
    now,
    h(
      "select",
      {
        class: "timeline-speed",
        "aria-label": t("timeline.speed"),
        "data-key": "speed",
        onchange: (event) => update({ speed: Number(event.target.value) }),
      },
      SPEEDS.map((one) => h("option", { value: one, selected: one === state.speed }, `${one}×`)),
    ),
  ];
}

/** First and last moment shown: the window, or what was found where the window is open. */
function extent() {
  const times = [
    ...(state.search?.matches.map((one) => Date.parse(one.time)) ?? []),
    ...(state.city.first ? [Date.parse(state.city.first), Date.parse(state.city.last)] : []),
  ];
  const { scope } = state.search ?? {};
  const asked = scope ? { start: ms(scope.start), end: ms(scope.end) } : state.window;
  const start = asked.start ?? (times.length ? Math.min(...times) : null);
  const end = asked.end ?? (times.length ? Math.max(...times) : null);
  return start !== null && end !== null && end > start ? [start, end] : null;
}

const ms = (text) => (text ? Date.parse(text) : null);

let axis = null; // {start, end, x} of what is drawn

function drawPlot(plot) {
  const range = extent();
  const width = plot.clientWidth;
  const height = plot.clientHeight;
  if (!range || width < 80) {
    fill(plot, h("p", { class: "hint timeline-empty" }, t("timeline.none")));
    axis = null;
    return;
  }
  const [start, end] = range;
  const x = (ms) => PAD + ((ms - start) / (end - start)) * (width - 2 * PAD);
  axis = { start, end, x };
  const lane = Math.round(height * 0.32);
  const base = height - 24;
  fill(
    plot,
    h(
      "svg",
      { width, height, class: "timeline-svg", role: "img", "aria-label": t("timeline.title") },
      ticks(start, end, x, base, height),
      results(x, base, lane),
      legs(x, lane),
      visits(x, lane),
    ),
    handle(height),
  );
  movePlayhead(plot);
}

function ticks(start, end, x, base, height) {
  const out = [h("line", { x1: x(start), x2: x(end), y1: base, y2: base, class: "axis" })];
  const most = Math.max(1, Math.floor((x(end) - x(start)) / 64));
  for (const { at, text } of axisTicks(start, end, most)) {
    out.push(h("line", { x1: x(at), x2: x(at), y1: 6, y2: base, class: "gridline" }));
    out.push(h("text", { x: x(at), y: height - 8, class: "tick" }, text));
  }
  return out;
}

function results(x, base, lane) {
  return (state.search?.matches ?? []).map((match) => {
    const tall = (base - lane - 16) * Math.min(Math.max(match.score, 0.08), 1);
    const at = x(Date.parse(match.time));
    const chosen = match.id === state.selected;
    return h(
      "line",
      {
        x1: at,
        x2: at,
        y1: base,
        y2: base - tall,
        class: `result-tick ${verdictOf(match) ?? ""} ${chosen ? "chosen" : ""}`,
        onclick: () => update({ selected: match.id, playhead: Date.parse(match.time) }),
      },
      h("title", {}, `${clock(Date.parse(match.time))} · ${nameOfCamera(match.camera)}`),
    );
  });
}

function legs(x, lane) {
  const path = shownPath();
  return (path?.legs ?? []).map((leg, i) =>
    h(
      "line",
      {
        x1: x(Date.parse(path.visits[i].leave)),
        x2: x(Date.parse(path.visits[i + 1].arrive)),
        y1: lane,
        y2: lane,
        class: `leg ${leg.known ? "" : "unknown"}`,
      },
      h("title", {}, legText(leg)),
    ),
  );
}

function visits(x, lane) {
  const path = shownPath();
  const taken = [-Infinity, -Infinity]; // right edge of the last number in each of two rows
  return (path?.visits ?? []).map((visit, i) => {
    const from = x(Date.parse(visit.arrive));
    const to = Math.max(x(Date.parse(visit.leave)), from + 3);
    const middle = (from + to) / 2;
    const row = taken.findIndex((edge) => middle - 9 > edge);
    if (row >= 0) taken[row] = middle + 9;
    return h(
      "g",
      {
        class: "visit",
        onclick: () => update({ playhead: Date.parse(visit.arrive), selected: resultOf(visit) ?? state.selected }),
      },
      h("line", { x1: from, x2: to, y1: lane, y2: lane, class: "stay" }),
      row < 0 ? null : visitNumber(middle, lane - 19 * row, i + 1),
      h("title", {}, visitTitle(visit, i + 1)),
    );
  });
}

const visitNumber = (x, y, n) => [h("circle", { cx: x, cy: y, r: 9.5 }), h("text", { x, y: y + 3.6 }, n)];

function visitTitle(visit, n) {
  const arrive = Date.parse(visit.arrive);
  const leave = Date.parse(visit.leave);
  return `${n}: ${nameOfCamera(visit.camera)}\n${clock(arrive)} – ${clock(leave)} (${duration(leave - arrive)})`;
}

function handle(height) {
  const knob = h(
    "div",
    {
      class: "playhead",
      role: "slider",
      tabindex: 0,
      "aria-label": t("timeline.playhead"),
      "data-key": "playhead",
      style: { height: `${height - 24}px` },
      onkeydown: (event) => {
        const by = { ArrowRight: 60_000, ArrowLeft: -60_000, PageUp: 600_000, PageDown: -600_000 }[event.key];
        if (!by) return;
        event.preventDefault();
        movedTo((state.playhead ?? axis.start) + by);
      },
    },
    h("span", {}),
  );
  const area = h("div", {
    class: "timeline-scrub",
    onpointerdown: (event) => {
      area.setPointerCapture(event.pointerId);
      scrub(event);
      area.addEventListener("pointermove", scrub);
      area.addEventListener("pointerup", () => area.removeEventListener("pointermove", scrub), { once: true });
    },
  });
  function scrub(event) {
    const frame = area.getBoundingClientRect();
    const share = (event.clientX - frame.left - PAD) / (frame.width - 2 * PAD);
    movedTo(axis.start + share * (axis.end - axis.start));
  }
  return [area, knob];
}

const movedTo = (ms) =>
  update({ playing: false, playhead: Math.round(Math.min(Math.max(ms, axis.start), axis.end)) });

function movePlayhead(plot) {
  const knob = plot.querySelector(".playhead");
  if (!knob || !axis) return;
  knob.hidden = state.playhead === null;
  if (state.playhead === null) return;
  knob.style.left = `${axis.x(Math.min(Math.max(state.playhead, axis.start), axis.end)) - 1}px`;
  knob.setAttribute("aria-valuetext", clock(state.playhead));
  knob.setAttribute("aria-valuenow", String(state.playhead));
  knob.setAttribute("aria-valuemin", String(axis.start));
  knob.setAttribute("aria-valuemax", String(axis.end));
}
