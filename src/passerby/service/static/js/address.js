// The address of what is shown: #/search/ID or #/cases. Back, forward and reload lead to it.
import { state, subscribe, update } from "./state.js";
import { reopen } from "./work.js";

let following = false; // the address changed first; the state follows it

const addressNow = () => (state.view === "search" && state.search ? `#/search/${state.search.id}` : `#/${state.view}`);

/** Show what the address names; a search that is shown already stays. */
async function follow(views) {
  const [, view, id] = location.hash.split("/");
  if (!views.includes(view)) return;
  following = true;
  try {
    if (view === "search" && id && state.search?.id !== decodeURIComponent(id)) await reopen(decodeURIComponent(id));
    else update({ view });
  } finally {
    following = false;
  }
}

/** Keep the address and what is shown together; `views` are those that the account may open. */
export async function keepAddress(views) {
  await follow(views);
  history.replaceState(null, "", addressNow());
  subscribe(["view", "search"], () => {
    if (!following && state.session && location.hash !== addressNow()) history.pushState(null, "", addressNow());
  });
  addEventListener("popstate", () => state.session && follow(views));
}
