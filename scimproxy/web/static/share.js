// Private or Shareable: the switches of runs, and the dialog that shows a new link once.
import { ask, copy } from "./page.js";

const dialog = document.getElementById("sharing");
const said = document.getElementById("share-said");
const link = document.getElementById("share-link");

for (const toggle of document.querySelectorAll("[data-share]")) toggle.disabled = false;
document.addEventListener("click", async (event) => {
  const toggle = event.target.closest("[data-share]");
  if (!toggle || toggle.disabled) return;
  const on = toggle.getAttribute("aria-checked") !== "true", run = toggle.dataset.share;
  toggle.disabled = true;
  said.textContent = "";
  try {
    const made = await ask(`/api/v1/runs/${run}/share`, on ? { method: "POST", body: {} } : { method: "DELETE" });
    toggle.setAttribute("aria-checked", on);
    if (on) {
      link.value = made.url;
      document.getElementById("share-command").textContent = `scimproxy share ${run} --tunnel ngrok`;
      dialog.showModal();
      link.select();
    } else said.textContent = `Run ${run} is private: its link is dead.`;
  } catch (problem) { said.textContent = `${problem.message} ${problem.hint ?? ""}`; }
  toggle.disabled = false;
  if (!on) toggle.focus();
});
// What is shown once is gone with the dialog.
dialog?.addEventListener("close", () => { link.value = ""; dialog.querySelector("[data-said]").textContent = ""; });
document.getElementById("share-copy")?.addEventListener("click", async () => {
  link.select();
  dialog.querySelector("[data-said]").textContent = (await copy(link.value)) ? "Copied." : "It could not be copied: select it.";
});
