// The page begins here: theme and language, then the sign-in or the desk.
import { get } from "./api.js";
import { desk, loadDesk } from "./desk.js";
import { fill } from "./dom.js";
import { firstLanguage } from "./i18n.js";
import { signIn } from "./views/signin.js";
import { state, subscribe, update } from "./state.js";

const root = document.querySelector("#app");

function firstTheme() {
  const remembered = localStorage.getItem("passerby.theme");
  if (remembered === "light" || remembered === "dark") return remembered;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function dress() {
  document.documentElement.dataset.theme = state.theme;
  document.documentElement.lang = state.language === "zh" ? "zh-CN" : "en";
}

let built = null; // the desk and whose it is; kept while a session that ended is renewed

/** Show the sign-in or the desk, whichever the session asks for. */
async function show() {
  if (!state.session) {
    fill(root, signIn());
    return;
  }
  const { name } = state.session.account;
  if (built && built.name !== name) {
    location.reload(); // another account starts from nothing
    return;
  }
  if (!built) {
    await loadDesk();
    if (!state.session) return;
    built = { name, element: desk() };
  }
  fill(root, built.element);
}

update({ theme: firstTheme(), language: firstLanguage() });
dress();
subscribe(["theme"], () => {
  localStorage.setItem("passerby.theme", state.theme);
  dress();
});
subscribe(["language"], () => {
  localStorage.setItem("passerby.language", state.language);
  dress();
  if (!state.session) fill(root, signIn());
});
subscribe(["session"], show);

try {
  update({ session: await get("/api/session") });
} catch {
  show();
}
