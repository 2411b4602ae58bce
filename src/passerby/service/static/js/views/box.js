// Choosing the person in a picture: click a box that the detector found, or draw one.
import { button, fill, h, openDialog } from "../dom.js";
import { number, t } from "../i18n.js";

const SMALLEST = [24, 48]; // pixels, wide and high, as the service asks

/** Show the picture; resolves to a box in pixels, to null for the whole picture, or to undefined. */
export function choosePerson(picture) {
  return openDialog(
    t("person.choose_box"),
    (close) => {
      let box = picture.box ?? null;
      const layer = h("div", { class: "box-layer" });
      const apply = button(t("person.use"), () => close(box), { kind: "primary" });
      const share = (value, of) => `${(100 * value) / of}%`;
      const place = ([x0, y0, x1, y1]) => ({
        left: share(x0, picture.width),
        top: share(y0, picture.height),
        width: share(x1 - x0, picture.width),
        height: share(y1 - y0, picture.height),
      });
      const same = (a, b) => a && b && a.every((value, i) => Math.abs(value - b[i]) < 0.5);
      const redraw = () => {
        const drawn = box && !picture.people.some((one) => same(one.box, box));
        fill(
          layer,
          picture.people.map((one, i) =>
            h(
              "button",
              {
                type: "button",
                class: `person-box ${same(one.box, box) ? "chosen" : ""}`,
                style: place(one.box),
                "aria-label": t("person.box", { n: i + 1 }),
                "data-key": `box:${i}`,
                onpointerdown: (event) => event.stopPropagation(),
                onclick: () => {
                  box = one.box;
                  redraw();
                },
              },
              h("span", {}, number(one.score, { style: "percent" })),
            ),
          ),
          drawn ? h("div", { class: "person-box chosen", style: place(box) }) : null,
        );
      };
      const stage = h(
        "div",
        {
          class: "box-stage",
          onpointerdown: begin,
          tabindex: 0,
          role: "application",
          "aria-label": t("person.box_keys"),
          "data-key": "box-stage",
          onkeydown: byKeys,
        },
        h("img", { src: picture.url, alt: t("person.query"), draggable: "false" }),
        layer,
      );
      function begin(event) {
        const frame = stage.getBoundingClientRect();
        const at = (moved) => [
          Math.min(Math.max((moved.clientX - frame.left) / frame.width, 0), 1) * picture.width,
          Math.min(Math.max((moved.clientY - frame.top) / frame.height, 0), 1) * picture.height,
        ];
        const [x, y] = at(event);
        const move = (moved) => {
          const [u, v] = at(moved);
          const next = [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)];
          if (next[2] - next[0] >= SMALLEST[0] && next[3] - next[1] >= SMALLEST[1]) {
            box = next;
            redraw();
          }
        };
        stage.setPointerCapture(event.pointerId);
        stage.addEventListener("pointermove", move);
        stage.addEventListener("pointerup", () => stage.removeEventListener("pointermove", move), { once: true });
      }
      /** Arrows move the box, with Shift they move its lower right corner; the first one makes it. */
      function byKeys(event) {
        const step = Math.max(4, picture.height / 50);
        const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
        if (!by || event.target !== stage) return;
        event.preventDefault();
        const { width, height } = picture;
        const [x0, y0, x1, y1] = box ?? [width * 0.3, height * 0.1, width * 0.7, height * 0.9];
        const bound = (value, low, high) => Math.min(Math.max(value, low), high);
        if (event.shiftKey) {
          box = [x0, y0, bound(x1 + by[0], x0 + SMALLEST[0], width), bound(y1 + by[1], y0 + SMALLEST[1], height)];
        } else {
          const [dx, dy] = [bound(by[0], -x0, width - x1), bound(by[1], -y0, height - y1)];
          box = [x0 + dx, y0 + dy, x1 + dx, y1 + dy];
        }
        redraw();
      }
      redraw();
      return [
        h("div", { class: "dialog-body" }, h("p", { class: "hint" }, t("person.box_hint")), stage),
        h("div", { class: "dialog-foot" }, button(t("person.whole"), () => close(null)), apply),
      ];
    },
    { closeLabel: t("close"), wide: true },
  );
}
