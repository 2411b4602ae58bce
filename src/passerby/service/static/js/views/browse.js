// A dialog with the passers-by of one camera; each can become the query.
import { cropUrl, get } from "../api.js";
import { button, fill, h, openDialog } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { problemText, warn } from "../problems.js";
import { state } from "../state.js";
import { clock } from "../time.js";
import { addSighting } from "../work.js";
import { nameOfCamera } from "./describe.js";

/** Show the newest passers-by of a camera, at first of the busiest one. */
export function browseCamera(first = busiest()) {
  let camera = first;
  return openDialog(
    t("browse.title"),
    (close) => {
      const seen = h("div", { class: "browse-seen" });
      const show = async () => {
        fill(seen, h("span", { class: "spinner" }));
        const asked = camera;
        try {
          const found = await load(camera);
          if (asked !== camera) return;
          if (!found.length) return void fill(seen, h("p", { class: "hint" }, t("camera.silent")));
          const grid = h("ul", { class: "browse-grid" });
          fill(seen, grid);
          addTo(grid, found, new Set(), camera, close);
        } catch (error) {
          fill(seen, h("p", { class: "notice bad" }, problemText(error)));
        }
      };
      show();
      const choose = (event) => {
        camera = event.target.value;
        show();
      };
      return h(
        "div",
        { class: "dialog-body" },
        h(
          "select",
          { onchange: choose, "aria-label": t("fact.camera") },
          state.cameras.map(({ properties: { id } }) =>
            h("option", { value: id, selected: id === camera }, `${nameOfCamera(id)} (${state.coverage?.get(id)?.sightings ?? 0})`),
          ),
        ),
        h("p", { class: "notice" }, icon("shield"), h("span", {}, t("browse.noted", { case: state.caseId }))),
        seen,
      );
    },
    { closeLabel: t("close"), wide: true },
  );
}

/** The camera that saw most in the window. */
function busiest() {
  const seen = [...(state.coverage?.values() ?? [])].sort((a, b) => b.sightings - a.sightings);
  return seen[0]?.camera ?? state.cameras[0]?.properties.id;
}

const PAGE = 60;

/** Add passers-by to the grid, and a button for those before them; each track is shown once. */
function addTo(grid, found, shown, camera, close) {
  for (const one of found) {
    const name = one.tracklet ?? one.id;
    if (!shown.has(name)) grid.append(tile(one, close));
    shown.add(name);
  }
  if (found.length < PAGE) return;
  const oldest = Date.parse(found.at(-1).last);
  const more = button(t("browse.more"), async () => {
    more.disabled = true;
    try {
      const next = await load(camera, oldest);
      more.remove();
      addTo(grid, next, shown, camera, close);
    } catch (error) {
      more.disabled = false;
      warn(error);
    }
  }, { kind: "wide", "data-key": "browse-more" });
  grid.after(more);
}

/** The newest passers-by of the window, or those before a moment. */
function load(camera, before = null) {
  const query = new URLSearchParams({ case: state.caseId, camera, limit: String(PAGE) });
  if (state.window.start !== null) query.set("start", new Date(state.window.start).toISOString());
  const end = before ?? state.window.end;
  if (end !== null) query.set("end", new Date(end).toISOString());
  return get(`/api/sightings?${query}`);
}

const tile = (one, close) =>
  h(
    "li",
    {},
    h("img", { src: cropUrl(one.id, state.caseId), alt: t("browse.seen", { time: clock(Date.parse(one.time)) }), loading: "lazy" }),
    h("span", { class: "hint" }, clock(Date.parse(one.time))),
    button(t("browse.take"), () => (addSighting(one, state.caseId), close()), { kind: "small", icon: icon("similar") }),
  );
