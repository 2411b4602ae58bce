// The bar at the top: city, pages, language, theme, account.
import { remove } from "../api.js";
import { button, fill, h, segmented, startAnew } from "../dom.js";
import { nameOf, t } from "../i18n.js";
import { icon, mark } from "../icons.js";
import { state, subscribe, update } from "../state.js";
import { changePassword } from "./password.js";

export const languageSwitch = () =>
  segmented([["en", "EN"], ["zh", "中文"]], state.language, (language) => update({ language }), t("top.language"));

export function themeSwitch() {
  const dark = state.theme === "dark";
  return button(null, () => update({ theme: dark ? "light" : "dark" }), {
    icon: icon(dark ? "sun" : "moon"),
    kind: "quiet square",
    label: t(dark ? "top.light" : "top.dark"),
    "data-key": "theme",
  });
}

/** Pages that the account's role may open. */
function pages() {
  const may = new Set(state.session.account.may);
  return [
    ["search", "search", may.has("search")],
    ["cases", "folder", may.has("cases")],
    ["approvals", "check", may.has("cases") && (may.has("approve") || state.city?.limits.wide_needs_approval)],
    ["audit", "shield", may.has("audit")],
    ["cameras", "camera", may.has("cameras")],
    ["accounts", "people", may.has("accounts")],
    ["erase", "cross", may.has("erase")],
  ].filter(([, , open]) => open);
}

/** The names of the pages that the account may open. */
export const openPages = () => pages().map(([view]) => view);

function navigation() {
  return h(
    "nav",
    { class: "top-pages", "aria-label": t("top.pages") },
    pages().map(([view, symbol]) =>
      h(
        "button",
        {
          type: "button",
          class: "top-page",
          "aria-current": state.view === view ? "page" : null,
          "data-key": `page:${view}`,
          "aria-label": t(`page.${view}`), // on a small screen the icon stands alone
          title: t(`page.${view}`),
          onclick: () => update({ view }),
        },
        icon(symbol),
        h("span", {}, t(`page.${view}`)),
      ),
    ),
  );
}

function account() {
  const { name, role } = state.session.account;
  const signOut = async () => {
    await remove("/api/session").catch(() => {});
    startAnew(); // nothing of the session stays in the page, nor in its address
  };
  const ownPassword = (event) => {
    event.preventDefault();
    changePassword();
  };
  return h(
    "div",
    { class: "row top-account" },
    h(
      "a",
      { href: "#/password", class: "top-who", title: t("password.title"), "data-key": "password", onclick: ownPassword },
      h("strong", {}, name),
      h("span", { class: "hint" }, t(`role.${role}`)),
    ),
    button(null, signOut, { icon: icon("exit"), kind: "quiet square", label: t("top.sign_out") }),
  );
}

export function topbar() {
  const bar = h("header", { class: "top" });
  const draw = () => {
    if (!state.session) return;
    fill(
      bar,
      button(null, () => update({ drawer: state.drawer === "left" ? null : "left" }), {
        icon: icon("menu"),
        kind: "quiet square only-small",
        label: t("top.query"),
      }),
      h("div", { class: "row top-brand" }, mark(), h("strong", {}, "Passerby"), h("span", { class: "top-city" }, nameOf(state.city ?? { name: "" }))),
      navigation(),
      h("div", { class: "row top-tools" }, languageSwitch(), themeSwitch(), account()),
      button(null, () => update({ drawer: state.drawer === "right" ? null : "right" }), {
        icon: icon("list"),
        kind: "quiet square only-small right-drawer",
        label: t("top.results"),
      }),
    );
  };
  subscribe(["language", "theme", "view", "session", "city"], draw);
  draw();
  return bar;
}
