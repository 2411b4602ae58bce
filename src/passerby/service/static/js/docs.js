// The HTTP API, described from its own OpenAPI document; no script from elsewhere.
import { fill, h } from "./dom.js";
import { mark } from "./icons.js";

const remembered = localStorage.getItem("passerby.theme");
const dark = remembered ? remembered === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.dataset.theme = dark ? "dark" : "light";

const root = document.querySelector("#docs");
const openapi = await (await fetch("/api/openapi.json")).json();

const resolve = (schema) =>
  schema?.$ref ? openapi.components.schemas[schema.$ref.split("/").at(-1)] : schema;

/** A schema as text: names, types, and a line of description each. */
function outline(schema, depth = 0) {
  const own = resolve(schema);
  if (!own) return "";
  const pad = "  ".repeat(depth);
  if (own.type === "array") return `[\n${pad}  ${outline(own.items, depth + 1)}\n${pad}]`;
  if (own.anyOf) return own.anyOf.map((one) => outline(one, depth)).join(" | ");
  if (!own.properties || depth > 4) return own.const ? JSON.stringify(own.const) : (own.enum?.join(" | ") ?? own.type ?? "any");
  const required = new Set(own.required ?? []);
  const lines = Object.entries(own.properties).map(([name, value]) => {
    const what = value.description ? `  // ${value.description}` : "";
    return `${pad}  ${name}${required.has(name) ? "" : "?"}: ${outline(value, depth + 1)}${what}`;
  });
  return `{\n${lines.join("\n")}\n${pad}}`;
}

function operation(path, verb, what) {
  const body = Object.values(what.requestBody?.content ?? {})[0]?.schema;
  const good = Object.entries(what.responses).find(([status]) => status.startsWith("2"));
  const [kind, content] = Object.entries(good?.[1].content ?? {})[0] ?? [];
  const refusals = Object.entries(what.responses).filter(([status]) => !status.startsWith("2"));
  const parameters = what.parameters ?? [];
  return h(
    "details",
    {},
    h("summary", {}, h("span", { class: `verb ${verb}` }, verb.toUpperCase()), h("code", { class: "grow" }, path), h("span", { class: "hint" }, what.summary)),
    h(
      "div",
      { class: "operation" },
      h("p", {}, what.description ?? ""),
      parameters.length
        ? h("pre", {}, parameters.map((one) => `${one.name}${one.required ? "" : "?"} (${one.in})  ${one.description ?? one.schema?.description ?? ""}`).join("\n"))
        : null,
      body ? [h("span", { class: "caption" }, "Request"), h("pre", {}, outline(body))] : null,
      good ? [h("span", { class: "caption" }, `Answer ${good[0]} ${kind ?? ""}`), content?.schema ? h("pre", {}, outline(content.schema)) : null] : null,
      refusals.length ? h("pre", {}, refusals.map(([status, one]) => `${status}  ${one.description}`).join("\n")) : null,
    ),
  );
}

const byTag = new Map();
for (const [path, verbs] of Object.entries(openapi.paths)) {
  for (const [verb, what] of Object.entries(verbs)) {
    const tag = what.tags?.[0] ?? "other";
    byTag.set(tag, [...(byTag.get(tag) ?? []), operation(path, verb, what)]);
  }
}

fill(
  root,
  h(
    "div",
    { class: "page-inner" },
    h(
      "div",
      { class: "page-head" },
      mark(),
      h("div", { class: "grow" }, h("h1", {}, `${openapi.info.title} HTTP API ${openapi.info.version}`), openapi.info.description.trim().split("\n\n").map((text) => h("p", { class: "hint" }, text.replaceAll("`", "").replaceAll("**", "")))),
      h("a", { class: "button", href: "/api/openapi.json" }, "openapi.json"),
    ),
    [...byTag].map(([tag, operations]) => [h("h2", {}, tag), operations]),
  ),
);
