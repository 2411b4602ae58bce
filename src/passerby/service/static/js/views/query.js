// The left panel: case, person, window, units, and the button that searches.
import { button, fill, h } from "../dom.js";
import { number, t } from "../i18n.js";
import { icon } from "../icons.js";
import { state, subscribe, update } from "../state.js";
import { duration } from "../time.js";
import { camerasIn } from "../units.js";
import { cancelSearch, search } from "../work.js";
import { askApproval } from "../pages/approvals.js";
import { problemText } from "../problems.js";
import { caseSection } from "./case.js";
import { personSection } from "./person.js";
import { whenSection } from "./when.js";
import { whereSection } from "./where.js";

export function queryPanel() {
  return h(
    "aside",
    { class: "panel left", "aria-label": t("top.query") },
    h("div", { class: "panel-scroll" }, caseSection(), personSection(), whenSection(), whereSection()),
    footer(),
  );
}

/** Why the search cannot be made yet; null when it can. */
function missing() {
  if (!state.caseId) return "search.needs_case";
  if (!state.pictures.length) return "search.needs_person";
  if (state.pictures.some((one) => one.pending)) return "search.needs_upload";
  if (state.pictures.some((one) => one.gone)) return "search.needs_again";
  return null;
}

function summary() {
  const cameras = camerasIn(state.cameras, state.chosenUnits, state.chosenCameras);
  const inScope = cameras.map(({ properties }) => state.coverage?.get(properties.id)?.sightings ?? 0);
  const { start, end } = state.window;
  return t("search.summary", {
    cameras: number(cameras.length),
    sightings: number(inScope.reduce((sum, n) => sum + n, 0)),
    length: start !== null && end !== null ? duration(end - start) : t("when.open"),
  });
}

function footer() {
  const foot = h("div", { class: "panel-foot" });
  const draw = () => {
    if (!state.city) return;
    const lack = missing();
    const busy = state.status === "searching";
    fill(
      foot,
      state.status === "failed" && state.problem ? failure() : null,
      h("p", { class: "hint" }, lack ? t(lack) : summary()),
      button(t(busy ? "search.busy" : "search.start"), search, {
        icon: busy ? h("span", { class: "spinner" }) : icon("search"),
        kind: "primary tall wide",
        disabled: Boolean(lack) || busy,
        "data-key": "search",
      }),
      busy ? button(t("search.cancel"), cancelSearch, { kind: "wide", "data-key": "cancel-search" }) : null,
    );
  };
  subscribe(
    ["language", "caseId", "pictures", "chosenUnits", "chosenCameras", "window", "coverage", "status", "problem"],
    draw,
  );
  draw();
  return foot;
}

function failure() {
  const approval = state.problem.code === "approval_needed";
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    icon("warning"),
    h(
      "div",
      { class: "grow" },
      problemText(state.problem),
      approval
        ? h("div", { class: "notice-action" }, button(t("approval.ask"), askApproval, { kind: "small" }))
        : null,
    ),
    button("×", () => update({ problem: null, status: "idle" }), { kind: "quiet small square", label: t("close") }),
  );
}
