// Requests for wide searches: asked by one person, decided by another.
import { get, post } from "../api.js";
import { button, h, toast } from "../dom.js";
import { askByForm, explain, field } from "../form.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { warn } from "../problems.js";
import { state, update } from "../state.js";
import { dateTime } from "../time.js";
import { scope } from "../work.js";
import { scopeNames } from "../views/describe.js";
import { chip, pageOf, table } from "./page.js";

export const approvalsPage = () => pageOf("page.approvals", "approvals.hint", load);

async function load(reload) {
  const requests = await get("/api/approvals");
  return table(
    [
      ["searches.number", (one) => one.id],
      ["case.title", (one) => one.case],
      ["approval.by", (one) => one.account],
      ["where.title", (one) => scopeNames(one.scope)],
      ["when.title", (one) => window(one.scope)],
      ["approval.reason", (one) => one.reason],
      ["case.state", status],
      [null, (one) => actions(one, reload)],
    ],
    requests,
    { empty: "approvals.none" },
  );
}

const window = ({ start, end }) =>
  `${start ? dateTime(Date.parse(start)) : t("when.open")} – ${end ? dateTime(Date.parse(end)) : t("when.open")}`;

function status(one) {
  const kind = { pending: "warn", approved: "good", refused: "bad" }[one.status];
  const by = one.decided_by ? ` · ${one.decided_by}` : "";
  return chip(`${t(`approval.${one.status}`)}${by}`, kind);
}

function actions(one, reload) {
  const { name, may } = state.session.account;
  if (one.status !== "pending" || one.account === name || !may.includes("approve")) return null;
  const decide = async (approve) => {
    try {
      await post(`/api/approvals/${one.id}/decision`, { approve });
      reload();
    } catch (error) {
      warn(error);
    }
  };
  return h(
    "div",
    { class: "row" },
    button(t("approval.approve"), () => decide(true), { kind: "small primary" }),
    button(t("approval.refuse"), () => decide(false), { kind: "small" }),
  );
}

/** Ask for the search that was just refused for being wide. */
export function askApproval() {
  const reason = h("textarea", { rows: 3, required: true, placeholder: t("approval.reason_example") });
  const send = async () => {
    await post("/api/approvals", { case: state.caseId, scope: scope(), reason: reason.value });
    update({ problem: null, status: "idle" });
    toast(t("approval.asked"), icon("check"));
  };
  return askByForm("approval.ask", "approval.send", send, {
    why: explain("people", "approval.why"),
    fields: field("approval.reason", reason),
  });
}
