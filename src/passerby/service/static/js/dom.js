// Elements without a framework: h() makes them, fill() replaces what an element holds.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "circle", "line", "rect", "g", "text", "polyline", "polygon", "title"]);

/** Make an element. Properties starting with "on" are listeners; the rest are attributes. */
export function h(tag, properties = {}, ...children) {
  const element = SVG_TAGS.has(tag)
    ? document.createElementNS(SVG, tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "indeterminate") element[name] = value;
    else if (name === "style") Object.assign(element.style, value); // the CSSOM: no inline styles in markup
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Replace what an element holds, keeping the keyboard's focus on the element of the same data-key. */
export function fill(element, ...children) {
  const active = document.activeElement;
  const key = element.contains(active) ? active.dataset?.key : undefined;
  const scroll = element.scrollTop;
  element.replaceChildren();
  append(element, children);
  if (key) element.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  element.scrollTop = scroll;
}

/** A button with an icon, a name for screen readers, and where given a visible text. */
export function button(text, onclick, { icon = null, kind = "", label = null, ...rest } = {}) {
  return h(
    "button",
    {
      type: "button",
      class: `button ${kind}`,
      onclick,
      "aria-label": label,
      title: label,
      ...rest,
    },
    icon,
    text,
  );
}

/** A row of buttons of which one is pressed. */
export function segmented(options, chosen, onchoose, label) {
  return h(
    "div",
    { class: "segmented", role: "group", "aria-label": label },
    options.map(([value, text]) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": String(value === chosen),
          "data-key": `${label}:${value}`,
          onclick: () => onchoose(value),
        },
        text,
      ),
    ),
  );
}

let suspended = null; // dialogs that wait for the next sign-in; null while there is a session

/** Take every dialog off the page, with what was typed in it; one opened meanwhile waits too. */
export function suspendDialogs() {
  suspended ??= [];
  for (const dialog of document.querySelectorAll("dialog")) {
    suspended.push(dialog);
    dialog.remove(); // without its "close": nobody answered it
  }
}

/** Show the dialogs again, with what was typed. */
export function resumeDialogs() {
  const waiting = suspended ?? [];
  suspended = null;
  waiting.forEach(present);
}

function present(dialog) {
  if (suspended) {
    suspended.push(dialog);
    return;
  }
  document.body.append(dialog);
  dialog.removeAttribute("open"); // one that was removed while open still says that it is
  dialog.showModal();
}

/** Show a dialog that ends with Escape, its close button, or `close(value)`. */
export function openDialog(title, build, { closeLabel, wide = false } = {}) {
  return new Promise((resolve) => {
    const close = (value) => {
      dialog.returned = value;
      dialog.close();
    };
    const dialog = h("dialog", { "aria-label": title, class: wide ? "wide" : "" });
    dialog.append(
      h(
        "div",
        { class: "dialog-head" },
        h("h2", {}, title),
        button("×", () => close(undefined), { kind: "quiet small square", label: closeLabel }),
      ),
      ...[build(close, dialog)].flat(),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returned);
    });
    present(dialog);
  });
}

/** Show a text for five seconds at the foot of the page. */
export function toast(text, icon = null) {
  const host = document.querySelector(".toasts");
  const box = h("div", { class: "toast" }, icon, h("span", {}, text));
  host.append(box);
  setTimeout(() => box.remove(), 5000);
}

/** Load the page anew, without the address of what was shown. */
export function startAnew() {
  history.replaceState(null, "", location.pathname);
  location.reload();
}
