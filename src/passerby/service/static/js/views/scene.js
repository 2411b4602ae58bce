// The whole scene of a sighting with the person's box, and the ten seconds around it.
import { clipUrl, get, sceneUrl, sightingUrl, video } from "../api.js";
import { button, fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { problemText } from "../problems.js";

/** A figure that fills itself; nothing where nothing of the scene is kept. */
export function sceneOf(id, caseId) {
  const stage = h("div", { class: "scene-stage" });
  const hint = h("p", { class: "hint", role: "status" });
  const controls = h("div", { class: "scene-controls" });
  const figure = h("figure", { class: "scene", hidden: true }, h("figcaption", {}, t("scene.title")), stage, controls, hint);
  let address = null;

  const picture = (details) => {
    release();
    fill(
      stage,
      h("img", { src: sceneUrl(id, caseId), alt: t("scene.alt") }),
      details.box ? h("span", { class: "scene-box", style: place(details.box, details.context) }) : null,
    );
  };
  const release = () => {
    if (address) URL.revokeObjectURL(address);
    address = null;
  };
  const play = async (details) => {
    fill(controls, h("p", { class: "hint" }, t("scene.loading")));
    hint.textContent = "";
    try {
      const file = await video(clipUrl(id, caseId));
      if (!figure.isConnected) return;
      address = URL.createObjectURL(file);
      const player = h("video", { src: address, controls: true, autoplay: true, "aria-label": t("scene.clip") });
      player.muted = true;
      fill(stage, player);
      fill(controls, details.context.scene ? button(t("scene.back"), () => show(details), { kind: "quiet", "data-key": "scene" }) : null);
    } catch (error) {
      show(details);
      hint.textContent = problemText(error);
    }
  };
  const show = (details) => {
    const { context } = details;
    if (context.scene) picture(details);
    fill(
      controls,
      context.clip
        ? button(t("scene.play"), () => play(details), { icon: icon("play"), "data-key": "play-clip" })
        : h("p", { class: "hint" }, t("scene.no_clip")),
    );
  };
  get(sightingUrl(id, caseId))
    .then((details) => {
      if (!details.context || !(details.context.scene || details.context.clip)) return;
      stage.style.aspectRatio = `${details.context.width} / ${details.context.height}`;
      figure.hidden = false;
      show(details);
    })
    .catch((error) => {
      figure.hidden = false;
      hint.textContent = problemText(error);
    });
  return figure;
}

/** Where a box lies in its picture, in percent. */
function place([x0, y0, x1, y1], { width, height }) {
  const percent = (value, whole) => `${(100 * value) / whole}%`;
  return {
    left: percent(x0, width),
    top: percent(y0, height),
    width: percent(x1 - x0, width),
    height: percent(y1 - y0, height),
  };
}
