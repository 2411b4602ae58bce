// One's own password: the fields, the request, and the dialog to change it.
import { Problem, post } from "../api.js";
import { h } from "../dom.js";
import { askByForm, explain, field } from "../form.js";
import { update } from "../state.js";

/** A field for a new password. */
export const newPassword = () =>
  h("input", { type: "password", autocomplete: "new-password", required: true, minlength: 12, maxlength: 256 });

/** Set the password of the session's account; returns the new session. */
export async function setPassword(first, second, current = "") {
  if (first.value !== second.value) throw new Problem(422, "passwords_differ", "", "");
  return post("/api/session/password", { current, new: first.value });
}

/** A dialog to change one's own password. */
export async function changePassword() {
  const current = h("input", { type: "password", autocomplete: "current-password", required: true });
  const [first, second] = [newPassword(), newPassword()];
  const session = await askByForm("password.title", "password.submit", () => setPassword(first, second, current.value), {
    why: explain("shield", "password.rule"),
    fields: [field("password.current", current), field("password.new", first), field("password.again", second)],
  });
  if (session) update({ session });
}
