// Parts of forms: a titled section of a panel, fields, and a dialog with a form.
import { button, fill, h, openDialog } from "./dom.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";
import { problemText } from "./problems.js";
import { state, subscribe } from "./state.js";

/** A titled part of the panel that redraws itself when one of `keys` changes. */
export function section(symbol, titleKey, keys, draw, { extra } = {}) {
  const body = h("div", { class: "section-body" });
  const title = h("h2", {});
  const side = h("div", { class: "row" });
  const redraw = () => {
    if (!state.city) return;
    fill(title, t(titleKey));
    fill(side, extra?.());
    fill(body, draw());
  };
  subscribe(["language", ...keys], redraw);
  redraw();
  return h("section", { class: "section" }, h("div", { class: "section-head" }, icon(symbol), title, side), body);
}

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
          problem.textContent = problemText(error);
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
