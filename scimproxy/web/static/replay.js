// Sending a whole run again from its page: begin, look how far it is, go to the comparison.
import { ask, home } from "./page.js";

const form = document.querySelector("form[data-replay]");
const bar = form?.querySelector("progress"), said = form?.querySelector("[data-said]");
const send = form?.querySelector(".primary"), stop = form?.querySelector("[data-stop]");
let going = null;

function busy(yes) { send.disabled = yes; stop.hidden = bar.hidden = !yes; }

async function follow(found) {
  for (;;) {
    bar.max = Math.max(1, found.total); bar.value = found.done;
    if (found.ended) return found;
    said.textContent = `${found.done} of ${found.total} sent, as run ${found.run_id}. ${found.notices.join(" ")}`;
    await new Promise((done) => setTimeout(done, 250));
    found = await ask(`/api/v1/runs/${found.run_id}/replay`);
  }
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const values = { to: form.to.value, auth: form.auth.value || null, fresh_names: form.fresh_names.checked };
  said.textContent = "";
  busy(true);
  try {
    going = await ask(`/api/v1/runs/${form.dataset.replay}/replay`, { method: "POST", body: values });
    const found = await follow(going);
    if (found.problem || !found.done) said.textContent = `Run ${found.run_id}: ${found.problem ?? "nothing was sent"}. ${found.notices.join(" ")}`;
    else location.assign(`${home}/diff?a=${found.source_run_id}&b=${found.run_id}`);
  } catch (problem) { said.textContent = `${problem.message} ${problem.hint ?? ""}`; }
  going = null;
  busy(false);
});
stop?.addEventListener("click", () => { if (going) ask(`/api/v1/runs/${going.run_id}/replay`, { method: "DELETE" }).catch(() => {}); });
