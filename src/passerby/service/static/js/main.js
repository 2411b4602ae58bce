// Entry of the page: sets theme and language, then shows the sign-in or the desk.
import { get } from "./api.js";
import { desk, loadDesk } from "./desk.js";
import { fill, resumeDialogs, startAnew, suspendDialogs } from "./dom.js";
import { firstLanguage } from "./i18n.js";
import { choosePassword, signIn } from "./views/signin.js";
import { state, subscribe, update } from "./state.js";

const root = document.querySelector("#app");

function firstTheme() {
  const remembered = localStorage.getItem("passerby.theme");
  if (remembered === "light" || remembered === "dark") return remembered;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function applyAppearance() {
  document.documentElement.dataset.theme = state.theme;
  document.documentElement.lang = state.language === "zh" ? "zh-CN" : "en";
}

let built = null; // the desk and its account; it stays while a session that ended is renewed

/** Show the desk of a session, or the sign-in without one. */
async function show() {
  if (!state.session) {
    suspendDialogs(); // nobody is shown without a session; what was typed comes back with it
    document.querySelector(".toasts").replaceChildren();
    fill(root, signIn());
    return;
  }
  if (state.session.account.must_change) {
    fill(root, choosePassword());
    return;
  }
  const { name } = state.session.account;
  if (built && built.name !== name) {
    startAnew(); // another account starts with an empty page
    return;
  }
  if (!built) {
    await loadDesk();
    if (!state.session) return;
    built = { name, element: desk() };
  }
  fill(root, built.element);
  resumeDialogs();
}

update({ theme: firstTheme(), language: firstLanguage() });
applyAppearance();
subscribe(["theme"], () => {
  localStorage.setItem("passerby.theme", state.theme);
  applyAppearance();
});
subscribe(["language"], () => {
  localStorage.setItem("passerby.language", state.language);
  applyAppearance();
  if (!state.session || state.session.account.must_change) show();
});
subscribe(["session"], show);

try {
  update({ session: await get("/api/session") });
} catch {
  show();
}
