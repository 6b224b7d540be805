// The door: exchanges the token in the fragment for a cookie, and takes it out of the address bar. The cookie belongs to
// a folder that nobody else knows; who was there before is led back to it.
import { enter, forget, known, tokenIn } from "./session.js";

const here = /^\/~[\w-]+(?=\/|$)/.exec(location.pathname)?.[0] ?? "";
const inside = (location.pathname.slice(here.length) || "/") + location.search;

const said = document.getElementById("said");
const form = document.getElementById("door");

async function open(text) {
  const token = tokenIn(text);
  if (!token) { said.textContent = "There is no token in that."; return; }
  const { problem, home } = await enter(token);
  if (problem) { said.textContent = problem; return; }
  // What stood before the fragment is asked again, now with the cookie.
  location.replace(home + inside);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  open(document.getElementById("token").value);
});
if (location.hash) {
  const given = location.hash;
  history.replaceState(null, "", location.pathname + location.search);
  open(given);
} else if (known() && (known() !== here || here === location.pathname)) location.replace(known() + inside);
else forget();
