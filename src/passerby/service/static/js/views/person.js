// The query pictures: dropped, pasted, chosen, or taken from the gallery.
import { enhanced, upload } from "../api.js";
import { button, h, toast } from "../dom.js";
import { section } from "../form.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { warn } from "../problems.js";
import { state, subscribe, update } from "../state.js";
import { choosePerson } from "./box.js";
import { browseCamera } from "./browse.js";

// A query picture in the state: {key, url, width, height, box, people, warnings, id | sighting, pending,
// better: the URL of the dark picture brightened, plain: search for it as it is}
let keys = 0;

export function personSection() {
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith("image/"));
    if (files.length && state.view === "search" && state.session) addFiles(files);
  });
  return section("person", "person.title", ["pictures", "caseId"], draw);
}

function draw() {
  const room = state.pictures.length < state.city.limits.most_pictures;
  return [
    state.pictures.length
      ? h("ul", { class: "query-pictures" }, state.pictures.map(pictureItem), room ? h("li", { class: "query-more" }, dropZone()) : null)
      : dropZone(),
    state.pictures.length ? null : pickFromCamera(),
    state.pictures.filter((picture) => picture.better).map(beforeAndAfter),
    warnings(),
  ];
}

function pictureItem(picture) {
  return h(
    "li",
    { class: `query-picture ${picture.pending ? "pending" : ""} ${picture.gone ? "gone" : ""}` },
    h(
      "button",
      {
        type: "button",
        class: "query-thumb",
        disabled: picture.pending || picture.gone || Boolean(picture.sighting),
        title: picture.sighting ? t("person.from_gallery") : t("person.choose_box"),
        "aria-label": picture.sighting ? t("person.from_gallery") : t("person.choose_box"),
        "data-key": `thumb:${picture.key}`,
        onclick: () => pickBox(picture),
      },
      thumbnail(picture),
      picture.pending ? h("span", { class: "spinner" }) : null,
      picture.sighting ? h("span", { class: "query-badge" }, icon("similar")) : null,
      picture.people?.length > 1 ? h("span", { class: "query-badge" }, icon("people")) : null,
    ),
    button("×", () => drop(picture), { kind: "query-remove", label: t("person.remove") }),
  );
}

/** The chosen part of a picture, filling a tile. */
function thumbnail(picture) {
  const image = h("img", { src: picture.url, alt: t("person.query"), draggable: "false" });
  if (!picture.box) return image;
  const [x0, y0, x1, y1] = picture.box;
  const wide = x1 - x0;
  const high = y1 - y0;
  // scale the picture so that the box covers the tile of 1 x 2, and move the box into it
  const unit = Math.max(64 / wide, 128 / high);
  Object.assign(image.style, {
    position: "absolute",
    objectFit: "fill",
    width: `${picture.width * unit}px`,
    height: `${picture.height * unit}px`,
    maxWidth: "none",
    left: `${32 - ((x0 + x1) / 2) * unit}px`,
    top: `${-y0 * unit}px`, // the head stays in the tile; of a tall box the feet may not
  });
  return image;
}

/** A dark picture as it is and brightened, and which of the two is searched for. */
function beforeAndAfter(picture) {
  const tile = (image, name) => h("figure", { class: "query-thumb" }, image, h("figcaption", {}, t(name)));
  return h(
    "div",
    { class: "query-enhanced" },
    tile(thumbnail(picture), "enhance.before"),
    tile(h("img", { src: picture.better, alt: t("enhance.after"), draggable: "false" }), "enhance.after"),
    h(
      "label",
      {},
      h("input", {
        type: "checkbox",
        checked: !picture.plain,
        "data-key": `enhance:${picture.key}`,
        onchange: (event) => replace(picture.key, { ...picture, plain: !event.target.checked }),
      }),
      h("span", {}, t("enhance.use"), h("span", { class: "hint" }, t("enhance.hint"))),
    ),
  );
}

/** Ask what the search would do to a picture, and show it where it does something. */
async function lookAhead(key) {
  const asked = state.pictures.find((one) => one.key === key);
  if (!asked) return;
  try {
    const file = await enhanced(asked.id, asked.box);
    const now = state.pictures.find((one) => one.key === key);
    if (!now || now.box !== asked.box) return; // removed, or another person chosen meanwhile
    if (now.better) URL.revokeObjectURL(now.better);
    replace(key, { ...now, better: file && URL.createObjectURL(file) });
  } catch (error) {
    warn(error);
  }
}

const pickFromCamera = () =>
  button(t("person.pick"), () => browseCamera(), {
    icon: icon("camera"),
    kind: "quiet small pick",
    disabled: !state.caseId || !state.city.sightings,
    "data-key": "pick",
  });

function dropZone() {
  const input = h("input", {
    type: "file",
    accept: "image/*",
    multiple: true,
    class: "visually-hidden",
    "aria-label": t("person.choose_file"),
    "data-key": "file",
    onchange: (event) => addFiles([...event.target.files]),
  });
  const small = state.pictures.length > 0;
  const zone = h(
    "label",
    {
      class: `drop ${small ? "small" : ""}`,
      ondragover: (event) => {
        event.preventDefault();
        zone.classList.add("over");
      },
      ondragleave: () => zone.classList.remove("over"),
      ondrop: (event) => {
        event.preventDefault();
        zone.classList.remove("over");
        addFiles([...event.dataTransfer.files]);
      },
    },
    input,
    icon(small ? "plus" : "upload"),
    h("span", {}, h("strong", {}, t(small ? "person.another" : "person.drop")), small ? null : h("span", { class: "hint" }, t("person.drop_hint"))),
  );
  return zone;
}

function warnings() {
  const all = new Set(state.pictures.flatMap((picture) => picture.warnings ?? []));
  return [...all].map((code) =>
    h("p", { class: "notice warn" }, icon("warning"), h("span", {}, t(`warning.${code}`))),
  );
}

/** Upload files and take them as query pictures. */
async function addFiles(files) {
  for (const file of files) {
    if (state.pictures.length >= state.city.limits.most_pictures) break;
    if (file.size > state.city.limits.upload_megabytes * 2 ** 20) {
      toast(t("problem.too_large", { text: "" }), icon("warning"));
      continue;
    }
    const key = (keys += 1);
    const url = URL.createObjectURL(file);
    update({ pictures: [...state.pictures.filter((one) => !one.gone), { key, url, pending: true }] });
    try {
      const info = await upload("/api/pictures", file);
      const box = info.people.length ? info.people[0].box : null;
      replace(key, { key, url, pending: false, box, ...info });
      const added = state.pictures.find((one) => one.key === key);
      await (added && info.people.length > 1 ? pickBox(added) : lookAhead(key));
    } catch (error) {
      update({ pictures: state.pictures.filter((one) => one.key !== key) });
      URL.revokeObjectURL(url);
      warn(error);
    }
  }
}

async function pickBox(picture) {
  const box = await choosePerson(picture);
  if (box !== undefined) replace(picture.key, { ...picture, box });
  await lookAhead(picture.key);
}

function replace(key, picture) {
  update({ pictures: state.pictures.map((one) => (one.key === key ? picture : one)) });
}

function drop(picture) {
  if (!picture.sighting) URL.revokeObjectURL(picture.url);
  if (picture.better) URL.revokeObjectURL(picture.better);
  update({ pictures: state.pictures.filter((one) => one !== picture) });
}

// without pictures the old answer belongs to nobody
subscribe(["pictures"], () => {
  if (!state.pictures.length && state.status !== "searching") update({ status: "idle", problem: null });
});
