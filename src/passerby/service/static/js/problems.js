// Refusals in the operator's language: known codes have a text here, others come from the service.
import { toast } from "./dom.js";
import { hasText, t } from "./i18n.js";
import { icon } from "./icons.js";
import { state } from "./state.js";

/** One or two sentences that say what was wrong and what to do. */
export function problemText(problem) {
  const key = `problem.${problem.code}`;
  const text = [problem.message, problem.whatToDo].filter(Boolean).join(" ");
  if (hasText(key)) return t(key, { text });
  if (state.language === "zh") return `${t("problem.refused")}${problem.message}`;
  return text;
}

/** Show an error for five seconds at the foot of the page. */
export const warn = (error) => toast(problemText(error), icon("warning"));
