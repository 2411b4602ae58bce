// Accounts of the administrator's units.
import { get, patch, post } from "../api.js";
import { button, h, openDialog } from "../dom.js";
import { askByForm, field } from "../form.js";
import { nameOf, t } from "../i18n.js";
import { icon } from "../icons.js";
import { warn } from "../problems.js";
import { state } from "../state.js";
import { dateTime } from "../time.js";
import { scopeNames } from "../views/describe.js";
import { chip, pageOf, table } from "./page.js";

export const accountsPage = () =>
  pageOf("page.accounts", "accounts.hint", load, (reload) =>
    button(t("accounts.new"), async () => (await create()) && reload(), { icon: icon("plus"), kind: "primary" }),
  );

async function load(reload) {
  const accounts = await get("/api/accounts");
  return table(
    [
      ["signin.name", (one) => h("strong", {}, one.name)],
      ["accounts.role", (one) => t(`role.${one.role}`)],
      ["where.title", (one) => scopeNames({ units: one.units, cameras: [] })],
      ["accounts.created", (one) => dateTime(Date.parse(one.created))],
      ["case.state", (one) => (one.disabled ? chip(t("accounts.disabled"), "bad") : chip(t("accounts.active"), "good"))],
      [null, (one) => actions(one, reload)],
    ],
    accounts,
    { empty: "accounts.none" },
  );
}

function actions(one, reload) {
  if (one.name === state.session.account.name) return null;
  const change = async (wish) => {
    try {
      const { password } = await patch(`/api/accounts/${encodeURIComponent(one.name)}`, wish);
      if (password) await showPassword(one.name, password);
      reload();
    } catch (error) {
      warn(error);
    }
  };
  return h(
    "div",
    { class: "row" },
    button(t("accounts.new_password"), () => change({ new_password: true }), { kind: "small" }),
    button(t(one.disabled ? "accounts.enable" : "accounts.disable"), () => change({ disabled: !one.disabled }), { kind: "small quiet" }),
  );
}

const showPassword = (name, password) =>
  openDialog(
    t("accounts.password_of", { name }),
    () => h("div", { class: "dialog-body" }, h("p", {}, t("accounts.once")), h("p", { class: "password" }, password)),
    { closeLabel: t("close") },
  );

async function create() {
  const name = h("input", { required: true, pattern: "[a-z][a-z0-9._\\-]+", autocapitalize: "none" });
  const role = h("select", {}, ["operator", "supervisor", "administrator"].map((one) => h("option", { value: one }, t(`role.${one}`))));
  const granted = [...state.units.byCode.values()].filter((one) => one.granted && ["city", "district", "street"].includes(one.level));
  const unit = h("select", {}, granted.map((one) => h("option", { value: one.code }, `${nameOf(one)} (${t(`level.${one.level}`)})`)));
  const send = () => post("/api/accounts", { name: name.value, role: role.value, units: [unit.value] });
  const made = await askByForm("accounts.new", "accounts.create", send, {
    fields: [field("signin.name", name), field("accounts.role", role), field("where.title", unit)],
  });
  if (made) await showPassword(made.account.name, made.password);
  return made;
}
