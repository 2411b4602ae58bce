// The screen of a signed-in account: loads its data once, then builds the views.
import { keepAddress } from "./address.js";
import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { listenToKeys } from "./keyboard.js";
import { t } from "./i18n.js";
import { mapView } from "./map/map.js";
import { accountsPage } from "./pages/accounts.js";
import { approvalsPage } from "./pages/approvals.js";
import { auditPage } from "./pages/audit.js";
import { camerasPage } from "./pages/cameras.js";
import { casesPage } from "./pages/cases.js";
import { erasePage } from "./pages/erase.js";
import { warn } from "./problems.js";
import { state, subscribe, update } from "./state.js";
import { wholeWindow } from "./time.js";
import { buildTree } from "./units.js";
import { queryPanel } from "./views/query.js";
import { resultsPanel } from "./views/results.js";
import { timeline } from "./views/timeline.js";
import { openPages, topbar } from "./views/topbar.js";
import { loadCoverage } from "./work.js";

/** The zone that was chosen in this browser; null for the city's, or for one it does not know. */
function rememberedZone() {
  const zone = localStorage.getItem("passerby.zone");
  return zone && Intl.supportedValuesOf("timeZone").concat("UTC").includes(zone) ? zone : null;
}

/** Fetch the city, its units, cameras, base map and the account's cases. */
export async function loadDesk() {
  const may = new Set(state.session.account.may);
  try {
    const [city, units, cameras, base, facts, cases] = await Promise.all([
      get("/api/city"),
      get("/api/units"),
      get("/api/cameras"),
      get("/api/streets"),
      get("/api/facts"),
      may.has("cases") ? get("/api/cases") : [],
    ]);
    const tree = buildTree(units);
    const open = cases.filter((one) => one.is_open);
    const remembered = localStorage.getItem("passerby.case");
    update({
      city,
      zone: rememberedZone(),
      units: tree,
      cameras: cameras.features,
      base,
      facts,
      layer: null,
      layerValues: null,
      cases,
      caseId: open.find((one) => one.id === remembered)?.id ?? open[0]?.id ?? null,
      level: tree.levels.includes("district") ? "district" : tree.levels[0],
      drawer: "left", // on a small screen the query comes first
      view: may.has("search") ? "search" : may.has("audit") ? "audit" : "accounts",
      window: wholeWindow(city),
    });
    if (may.has("search")) await loadCoverage();
  } catch (error) {
    warn(error);
  }
}

const PAGES = { cases: casesPage, approvals: approvalsPage, audit: auditPage, cameras: camerasPage, accounts: accountsPage, erase: erasePage };

/** The whole screen. */
export function desk() {
  const heading = h("h1", { class: "visually-hidden" });
  const name = () => (heading.textContent = t("page.search"));
  const work = state.session.account.may.includes("search")
    ? h("main", { class: "work" }, heading, queryPanel(), h("section", { class: "middle" }, mapView(), timeline()), resultsPanel())
    : null;
  const page = h("main", { class: "page" });
  const choose = () => {
    const other = state.view !== "search";
    work?.toggleAttribute("hidden", other);
    page.toggleAttribute("hidden", !other);
    fill(page, other && PAGES[state.view] ? PAGES[state.view]() : null);
  };
  const drawers = () => {
    if (work) work.dataset.drawer = state.drawer ?? "";
  };
  subscribe(["view"], choose);
  subscribe(["language"], () => state.view !== "search" && choose());
  subscribe(["drawer"], drawers);
  subscribe(["language"], name);
  name();
  listenToKeys();
  choose();
  drawers();
  keepAddress(openPages());
  return h("div", { class: "desk" }, topbar(), work, page);
}
