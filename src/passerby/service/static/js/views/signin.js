// The sign-in screen.
import { Problem, post } from "../api.js";
import { button, h } from "../dom.js";
import { field } from "../form.js";
import { t } from "../i18n.js";
import { icon, mark } from "../icons.js";
import { state, update } from "../state.js";
import { problemText } from "../problems.js";
import { newPassword, setPassword } from "./password.js";
import { languageSwitch, themeSwitch } from "./topbar.js";

/** The screen that is shown without a session. */
export function signIn() {
  const problem = h("p", { class: "notice bad", role: "alert", hidden: true });
  const name = h("input", { name: "name", autocomplete: "username", required: true, autocapitalize: "none" });
  const password = h("input", {
    name: "password",
    type: "password",
    autocomplete: "current-password",
    required: true,
  });
  const submit = button(t("signin.submit"), null, { kind: "primary wide", type: "submit" });
  if (state.problem?.code === "signed_out") showProblem(problem, t("problem.signed_out"));

  async function enter(event) {
    event.preventDefault();
    submit.disabled = true;
    try {
      const session = await post("/api/session", { name: name.value, password: password.value });
      update({ problem: null, session });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      showProblem(problem, problemText(error));
      password.value = "";
      password.focus();
    } finally {
      submit.disabled = false;
    }
  }

  const form = h(
    "form",
    { class: "signin-card", onsubmit: enter },
    h("div", { class: "row" }, mark(), h("div", {}, h("h1", {}, "Passerby"), h("p", { class: "hint" }, t("app.tagline")))),
    problem,
    field("signin.name", name),
    field("signin.password", password),
    submit,
    h("p", { class: "notice" }, icon("shield"), h("span", {}, t("signin.notice"))),
  );
  requestAnimationFrame(() => name.focus());
  return h(
    "main",
    { class: "signin" },
    h("div", { class: "signin-tools row" }, languageSwitch(), themeSwitch()),
    backdrop(),
    form,
  );
}

/** The screen after a one-time password: nothing else opens before the owner has chosen another. */
export function choosePassword() {
  const problem = h("p", { class: "notice bad", role: "alert", hidden: true });
  const [first, second] = [newPassword(), newPassword()];
  const submit = button(t("password.submit"), null, { kind: "primary wide", type: "submit" });

  async function send(event) {
    event.preventDefault();
    submit.disabled = true;
    try {
      const session = await setPassword(first, second);
      update({ problem: null, session });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      showProblem(problem, problemText(error));
    } finally {
      submit.disabled = false;
    }
  }

  const form = h(
    "form",
    { class: "signin-card", onsubmit: send },
    h("div", { class: "row" }, mark(), h("h1", {}, t("password.title"))),
    h("p", { class: "notice" }, icon("shield"), h("span", {}, t("password.why"))),
    problem,
    field("password.new", first),
    field("password.again", second),
    submit,
  );
  requestAnimationFrame(() => first.focus());
  return h(
    "main",
    { class: "signin" },
    h("div", { class: "signin-tools row" }, languageSwitch(), themeSwitch()),
    backdrop(),
    form,
  );
}

function showProblem(box, text) {
  box.textContent = text;
  box.hidden = false;
}

/** A drawn street plan behind the card. */
function backdrop() {
  const lines = [];
  for (let i = -4; i < 16; i += 1) {
    const bend = 26 * Math.sin(i * 1.7);
    lines.push(`M${i * 110 + bend} -20 C${i * 110 + 60} 260 ${i * 110 - 50 + bend} 560 ${i * 110 + 190} 960`);
    lines.push(`M-40 ${i * 82 + bend} C400 ${i * 82 - 60} 900 ${i * 82 + 90 + bend} 1520 ${i * 82 - 110}`);
  }
  return h(
    "svg",
    { class: "signin-plan", viewBox: "0 0 1440 900", preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true" },
    h("path", { d: lines.join(""), class: "plan-streets" }),
    h("path", { d: "M250 700 L372 560 L520 612 L640 430 L905 474 L1010 318 L1196 250", class: "plan-path" }),
    [[250, 700], [520, 612], [640, 430], [905, 474], [1196, 250]].map(([cx, cy]) =>
      h("circle", { cx, cy, r: 8, class: "plan-dot" }),
    ),
  );
}
