// Times are milliseconds since the epoch; the city's zone is used only to show and to read them.
import { locale, t } from "./i18n.js";
import { state } from "./state.js";

const formats = new Map();

function format(options) {
  const key = `${locale()}|${zone()}|${JSON.stringify(options)}`;
  if (!formats.has(key)) {
    formats.set(key, new Intl.DateTimeFormat(locale(), { timeZone: zone(), hourCycle: "h23", ...options }));
  }
  return formats.get(key);
}

/** The zone in which times are shown and read: the chosen one, or the city's. */
export const zone = () => state.zone ?? state.city?.time_zone ?? "UTC";

/** The zones that can be chosen: the city's, UTC, this computer's, then all others. */
export function zones() {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return [...new Set([state.city.time_zone, "UTC", own, ...Intl.supportedValuesOf("timeZone")])];
}

/** Such as "UTC+8", for the moment `at`. */
export function zoneName(at = Date.now()) {
  const minutes = offset(at) / 60_000;
  const sign = minutes < 0 ? "−" : "+";
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  return minutes === 0 ? "UTC" : `UTC${sign}${hours}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
}

export const clock = (ms) => format({ hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(ms);
const shortClock = (ms) => format({ hour: "2-digit", minute: "2-digit" }).format(ms);
const date = (ms) => format({ day: "numeric", month: "short" }).format(ms);
export const day = (ms) => format({ weekday: "short", day: "numeric", month: "short" }).format(ms);
export const dateTime = (ms) =>
  format({ year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }).format(ms);
/** With seconds: what a clip's times need. */
export const exactTime = (ms) =>
  format({ year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(ms);

/** A length of time in words: "45 s", "12 min", "3 h 20 min". */
export function duration(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds < 100) return t("time.seconds", { n: seconds });
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return t("time.minutes", { n: minutes });
  const hours = Math.floor(minutes / 60);
  if (hours < 48) {
    return minutes % 60 ? t("time.hours_minutes", { h: hours, m: minutes % 60 }) : t("time.hours", { n: hours });
  }
  return t("time.days", { n: Math.round(hours / 24) });
}

/** Milliseconds that the city's zone is ahead of UTC at a moment. */
function offset(ms) {
  const parts = Object.fromEntries(
    new Intl.DateTimeFormat("en-CA", {
      timeZone: zone(),
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    })
      .formatToParts(ms)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const { year, month, day: date, hour, minute, second } = parts;
  return Date.UTC(year, month - 1, date, hour, minute, second) - Math.floor(ms / 1000) * 1000;
}

/** For an <input type="datetime-local">: the wall clock at a moment, to the minute or the millisecond. */
export const toLocalInput = (ms, { exact = false } = {}) => new Date(ms + offset(ms)).toISOString().slice(0, exact ? 23 : 16);

/**
 * The moments at which the wall clock shows what was typed, earliest first: one as a rule, two in
 * the hour that is repeated when clocks go back, none in the hour that is left out.
 */
export function momentsOf(text) {
  const wall = Date.parse(`${text}Z`);
  if (Number.isNaN(wall)) return [];
  const around = [wall - DAY, wall + DAY].map((ms) => wall - offset(ms));
  return [...new Set(around)].filter((ms) => ms + offset(ms) === wall).sort((a, b) => a - b);
}

/** The moment that was typed, the first of two; after a gap, as if the clocks had not changed. */
export function fromLocalInput(text) {
  if (!text) return null;
  const wall = Date.parse(`${text}Z`);
  if (Number.isNaN(wall)) return null;
  return momentsOf(text)[0] ?? wall - offset(wall - DAY);
}

const DAY = 86_400_000;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * 60_000);
const DAYS = [1, 2, 5, 10, 30, 90, 365].map((days) => days * DAY);

/** At most `most` round moments of the wall clock, each {at, text}; midnight is shown as a date. */
export function axisTicks(start, end, most) {
  const step = [...STEPS, ...DAYS].find((one) => (end - start) / one <= most) ?? DAYS.at(-1);
  const ticks = [];
  const first = Math.ceil((start + offset(start)) / step) * step;
  for (let wall = first; wall - offset(wall) <= end + DAY; wall += step) {
    const text = new Date(wall).toISOString().slice(0, 16);
    for (const at of momentsOf(text)) {
      if (at < start || at > end) continue;
      ticks.push({ at, text: text.endsWith("T00:00") ? date(at) : shortClock(at) });
    }
  }
  return ticks;
}

/** From the first to the last sighting, in whole minutes. */
export function wholeWindow(city) {
  if (!city.first) return { start: null, end: null };
  const minute = 60_000;
  return {
    start: Math.floor(Date.parse(city.first) / minute) * minute,
    end: (Math.floor(Date.parse(city.last) / minute) + 1) * minute,
  };
}
