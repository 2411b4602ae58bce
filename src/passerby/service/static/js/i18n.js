// The texts of the page in two languages. A missing text would show its key; a test forbids that.
import { state } from "./state.js";
import camerasEn from "./cameras.en.js";
import camerasZh from "./cameras.zh.js";
import problemsEn from "./problems.en.js";
import problemsZh from "./problems.zh.js";
import en from "./strings.en.js";
import zh from "./strings.zh.js";

const DICTIONARIES = { en: { ...en, ...camerasEn, ...problemsEn }, zh: { ...zh, ...camerasZh, ...problemsZh } };

/** The text of a key in the chosen language, with {names} replaced by values. */
export function t(key, values = {}) {
  const text = DICTIONARIES[state.language][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Whether the dictionary has a key. */
export const hasText = (key) => key in DICTIONARIES[state.language];

/** A number in the format of the chosen language. */
export const number = (value, options) => new Intl.NumberFormat(locale(), options).format(value);

/** The locale of dates and numbers. */
export const locale = () => (state.language === "zh" ? "zh-CN" : "en-GB");

/** The name of a thing that has `name` and `name_zh`. */
export const nameOf = (thing) => (state.language === "zh" && thing.name_zh) || thing.name;

/** The language to begin with: the remembered one, or the browser's. */
export function firstLanguage() {
  const remembered = localStorage.getItem("passerby.language");
  if (remembered in DICTIONARIES) return remembered;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}
