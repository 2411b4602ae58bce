// What one camera saw in the window: pick somebody and look for them elsewhere.
import { cropUrl, get } from "../api.js";
import { button, fill, h, openDialog } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { say } from "../problems.js";
import { state } from "../state.js";
import { clock } from "../time.js";
import { nameOfCamera } from "./names.js";
import { addSighting } from "./person.js";

/** Show the newest passers-by of a camera. */
export function browseCamera(camera) {
  return openDialog(
    t("browse.title", { camera: nameOfCamera(camera) }),
    (close) => {
      const body = h("div", { class: "dialog-body" }, h("span", { class: "spinner" }));
      load(camera)
        .then((seen) =>
          fill(
            body,
            h("p", { class: "notice" }, icon("shield"), h("span", {}, t("browse.noted", { case: state.caseId }))),
            seen.length
              ? h("ul", { class: "browse-grid" }, seen.map((one) => tile(one, close)))
              : h("p", { class: "hint" }, t("camera.silent")),
          ),
        )
        .catch((error) => fill(body, h("p", { class: "notice bad" }, say(error))));
      return body;
    },
    { closeLabel: t("close"), wide: true },
  );
}

function load(camera) {
  const query = new URLSearchParams({ case: state.caseId, camera, limit: "60" });
  if (state.window.start !== null) query.set("start", new Date(state.window.start).toISOString());
  if (state.window.end !== null) query.set("end", new Date(state.window.end).toISOString());
  return get(`/api/sightings?${query}`);
}

const tile = (one, close) =>
  h(
    "li",
    {},
    h("img", { src: cropUrl(one.id), alt: t("browse.seen", { time: clock(Date.parse(one.time)) }), loading: "lazy" }),
    h("span", { class: "hint" }, clock(Date.parse(one.time))),
    button(t("browse.take"), () => (addSighting(one), close()), { kind: "small", icon: icon("similar") }),
  );
