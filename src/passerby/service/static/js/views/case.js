// The case that a search is made for.
import { post } from "../api.js";
import { button, h, toast } from "../dom.js";
import { askByForm, explain, field, section } from "../form.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { state, update } from "../state.js";
import { dateTime } from "../time.js";

export function caseSection() {
  return section("folder", "case.title", ["cases", "caseId"], draw, {
    extra: () => button(t("case.new"), openCase, { icon: icon("plus"), kind: "quiet small", "data-key": "new-case" }),
  });
}

function draw() {
  const open = state.cases.filter((one) => one.is_open);
  if (!open.length) {
    return h("p", { class: "notice warn" }, icon("info"), h("span", {}, t("case.none")));
  }
  const chosen = open.find((one) => one.id === state.caseId);
  const choose = (event) => {
    localStorage.setItem("passerby.case", event.target.value);
    update({ caseId: event.target.value });
  };
  return [
    h(
      "select",
      { onchange: choose, "aria-label": t("case.title"), "data-key": "case" },
      open.map((one) => h("option", { value: one.id, selected: one.id === state.caseId }, one.id)),
    ),
    chosen
      ? h(
          "p",
          { class: "hint case-purpose", title: chosen.legal_basis },
          chosen.purpose,
          h("br"),
          t("case.until", { time: dateTime(Date.parse(chosen.expires)) }),
        )
      : null,
  ];
}

/** The dialog that opens a case; resolves when it is closed. */
export function openCase() {
  const days = 30;
  const id = h("input", { required: true, maxlength: 64, placeholder: t("case.id_example") });
  const purpose = h("textarea", { required: true, rows: 3, placeholder: t("case.purpose_example") });
  const basis = h("input", { required: true, placeholder: t("case.basis_example") });
  const expiry = h("input", { type: "number", min: 1, max: 365, value: days });
  const send = async () => {
    const made = await post("/api/cases", {
      id: id.value.trim(),
      purpose: purpose.value,
      legal_basis: basis.value,
      expires: new Date(Date.now() + Number(expiry.value) * 86_400_000).toISOString(),
    });
    localStorage.setItem("passerby.case", made.id);
    update({ cases: [made, ...state.cases], caseId: made.id });
    toast(t("case.opened", { id: made.id }), icon("check"));
    return made;
  };
  return askByForm("case.open", "case.open", send, {
    why: explain("info", "case.why"),
    fields: [
      field("case.id", id),
      field("case.purpose", purpose),
      field("case.basis", basis),
      field("case.days", expiry),
    ],
  });
}
