// Requests to the service: JSON, the session's token, one class of error.
import { state, update } from "./state.js";

/** A refusal of the service: a stable code, what was wrong, and what to do. */
export class Problem extends Error {
  constructor(status, code, error, whatToDo) {
    super(error);
    Object.assign(this, { status, code, whatToDo });
  }
}

async function send(method, path, { body, form, signal } = {}) {
  const headers = {};
  if (state.session) headers["X-CSRF-Token"] = state.session.csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      signal,
      body: form ?? (body === undefined ? undefined : JSON.stringify(body)),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "offline", "", "");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  if (response.status === 401 && said.code === "signed_out" && state.session) {
    update({ session: null, problem: { code: "signed_out" } });
  }
  throw new Problem(
    response.status,
    said.code ?? "http",
    said.error ?? `HTTP ${response.status}`,
    said.what_to_do ?? "",
  );
}

const json = async (response) => (response.status === 204 ? null : response.json());

export const get = async (path, options) => json(await send("GET", path, options));
export const post = async (path, body, options) => json(await send("POST", path, { body, ...options }));
export const patch = async (path, body) => json(await send("PATCH", path, { body }));
export const remove = async (path) => json(await send("DELETE", path));

/** Upload one file as a form. */
export async function upload(path, file) {
  const form = new FormData();
  form.append("file", file, file.name || "picture");
  return json(await send("POST", path, { form }));
}

/** Fetch a file and hand it to the browser to save. */
export async function download(path, body) {
  const response = await send("POST", path, { body });
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "");
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name ? name[1] : "export";
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  return response.headers.get("X-Audit-Number");
}

/** The person of a query picture after enhancement, as a file; null where it is bright enough. */
export async function enhanced(id, box) {
  const where = (box ?? []).map((value) => `box=${value}`).join("&");
  const response = await send("GET", `/api/pictures/${encodeURIComponent(id)}/enhanced?${where}`);
  return response.status === 204 ? null : response.blob();
}

/** Fetch a video as a file for a player; the page's policy lets it play nothing else. */
export const video = async (path) => (await send("GET", path)).blob();

/** Where a sighting is, or a part of it such as "crop"; it is shown for an open case only. */
const ofSighting = (part) => (id, caseId) =>
  `/api/sightings/${encodeURIComponent(id)}${part}?case=${encodeURIComponent(caseId ?? "")}`;
export const sightingUrl = ofSighting("");
export const cropUrl = ofSighting("/crop");
export const sceneUrl = ofSighting("/scene");
export const clipUrl = ofSighting("/clip");
