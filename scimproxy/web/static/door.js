// The door: exchanges the token in the fragment for a cookie, and takes it out of the address bar.
import { tokenIn, enter } from "./session.js";

const said = document.getElementById("said");
const form = document.getElementById("door");

async function open(text) {
  const token = tokenIn(text);
  if (!token) { said.textContent = "There is no token in that."; return; }
  const problem = await enter(token);
  if (problem) { said.textContent = problem; return; }
  // What stood before the fragment is asked again, now with the cookie.
  location.replace(location.pathname + location.search);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  open(document.getElementById("token").value);
});
if (location.hash) {
  const given = location.hash;
  history.replaceState(null, "", location.pathname + location.search);
  open(given);
}
