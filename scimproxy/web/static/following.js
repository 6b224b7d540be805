// A run that somebody else makes: how long nothing came from it; and choosing the suite that a recording is matched with.
import { ask } from "./page.js";

const LARGEST = 200000; // as the server has it
const dialog = document.getElementById("matching");

function tick() {
  for (const box of document.querySelectorAll("[data-last]")) {
    const gone = Math.max(0, (Date.now() - new Date(box.dataset.last)) / 1000);
    const since = box.querySelector("[data-since]");
    since.textContent = `Last heard ${gone < 1.5 ? "just now" : gone < 90 ? `${gone.toFixed(0)} s ago` : `${(gone / 60).toFixed(0)} min ago`}`;
    box.querySelector("[data-stopped]").hidden = gone <= Number(box.dataset.silent);
  }
}
setInterval(tick, 1000);
tick();

document.addEventListener("click", async (event) => {
  if (event.target.closest("[data-match-open]")) dialog?.showModal();
  const stop = event.target.closest("[data-match-stop]");
  if (stop) {
    stop.disabled = true;
    await ask(`/api/v1/runs/${stop.dataset.matchStop}/match`, { method: "DELETE" }).catch(() => null);
    location.reload();
  }
});

document.querySelector("form[data-match]")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target, said = form.querySelector("[data-said]"), file = form.elements.file.files[0];
  if (!file && !form.elements.suite.value) { said.textContent = "Choose a suite, or a file."; return; }
  if (file && file.size > LARGEST) { said.textContent = "This file is larger than 200 kB; name it with `up --suite FILE`."; return; }
  event.submitter.disabled = true;
  said.textContent = "Looking through the recording…";
  try {
    const body = file ? { text: await file.text(), name: file.name } : { suite: form.elements.suite.value };
    await ask(`/api/v1/runs/${form.dataset.match}/match`, { method: "POST", body });
    location.reload();
  } catch (problem) {
    said.textContent = `${problem.message} ${problem.hint ?? ""}`;
    event.submitter.disabled = false;
  }
});
