// A dialog that asks by a form: what it is for, the fields, and what the service refused.
import { button, h, openDialog } from "./dom.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";
import { say } from "./problems.js";

/** An input with its name; `key` is the text's. */
export const field = (key, input) => h("label", { class: "field" }, h("span", {}, t(key)), input);

/** A sentence with an icon that explains the form. */
export const explain = (name, key) => h("p", { class: "notice" }, icon(name), h("span", {}, t(key)));

/**
 * Show the form; resolves with what `send` gave, or undefined when it was cancelled.
 * What the service refuses is shown in the form, which stays open.
 */
export function askByForm(titleKey, sendKey, send, { why = null, fields }) {
  return openDialog(
    t(titleKey),
    (close) => {
      const problem = h("p", { class: "notice bad", role: "alert", hidden: true });
      const submit = async (event) => {
        event.preventDefault();
        try {
          close(await send());
        } catch (error) {
          problem.textContent = say(error);
          problem.hidden = false;
        }
      };
      return h(
        "form",
        { onsubmit: submit, class: "dialog-form" },
        h("div", { class: "dialog-body" }, why, problem, fields),
        h(
          "div",
          { class: "dialog-foot" },
          button(t("cancel"), () => close()),
          button(t(sendKey), null, { kind: "primary", type: "submit" }),
        ),
      );
    },
    { closeLabel: t("close") },
  );
}
