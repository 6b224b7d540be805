// What every page shares: local times, light and dark, asking the API, copying; and forms of the pages to read.

/** Where the inspector's pages are: a folder that only who gave the token knows. The cookie is sent there and nowhere else. */
export const home = /^\/~[\w-]+(?=\/)/.exec(location.pathname)?.[0] ?? "";

const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export const clock = (iso) => CLOCK.format(new Date(iso));
export const utc = (iso) => iso.replace("T", " ").replace("Z", " UTC");

/** Show times in the reader's zone, with UTC on hover. */
export function localTimes(root = document) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = utc(time.dateTime);
    time.textContent = LOCAL.format(new Date(time.dateTime));
  }
}

/** Numbers that would have held the page up come after it, one by one. */
export async function counts(root = document) {
  for (const place of root.querySelectorAll("[data-count]")) {
    const run = await ask(`/api/v1/runs/${place.dataset.count}`).catch(() => null);
    if (run) { place.textContent = run.exchanges.toLocaleString("en"); place.removeAttribute("data-count"); }
  }
}

export class Problem extends Error {
  constructor(status, found) { super(found.title ?? "It did not work."); this.status = status; this.hint = found.hint; this.position = found.position; }
}

/** Ask the API; throws a Problem in the server's words. */
export async function ask(path, { method = "GET", body, signal } = {}) {
  const options = { method, signal, headers: {} };
  if (body !== undefined) { options.body = JSON.stringify(body); options.headers["Content-Type"] = "application/json"; }
  const answer = await fetch(home + path, options);
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
  return answer.status === 204 ? null : answer.headers.get("Content-Type").includes("json") ? answer.json() : answer.text();
}

// The one way from the server's HTML (escaped there) into a page.
const policy = globalThis.trustedTypes?.createPolicy("scimproxy", { createHTML: (text) => text });
export const trusted = (html) => (policy ? policy.createHTML(html) : html);

export async function part(path, signal) {
  const answer = await fetch(home + path, { signal });
  const text = await answer.text();
  if (answer.status === 204) return "";
  if (!answer.ok) throw new Problem(answer.status, { title: answer.status === 404 ? "It is not there any more." : "It could not be shown." });
  return text;
}

export async function copy(text) {
  try { await navigator.clipboard.writeText(text); return true; } catch { /* not allowed: the old way */ }
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

function theme() {
  const root = document.documentElement;
  try { const kept = localStorage.getItem("theme"); if (kept) root.dataset.theme = kept; } catch { /* no storage */ }
  document.getElementById("theme")?.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* the same */ }
  });
}

function forms() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const before = button.textContent;
    button.textContent = (await copy(button.dataset.copy)) ? "Copied" : "Could not copy";
    setTimeout(() => { button.textContent = before; }, 1500);
  });
  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-send]");
    if (!form) return;
    event.preventDefault();
    const said = form.querySelector("[data-said]");
    const values = Object.fromEntries(new FormData(form));
    if (said) said.textContent = form.dataset.wait ?? "";
    if (event.submitter) event.submitter.disabled = true; // a second press is no second wish
    try {
      await ask(form.dataset.send, { method: form.dataset.method, body: form.dataset.method === "DELETE" ? undefined : values });
      if (form.dataset.then) location.assign(form.dataset.then); else location.reload();
    } catch (problem) {
      if (said) said.textContent = `${problem.message} ${problem.hint ?? ""}`;
      if (event.submitter) event.submitter.disabled = false;
    }
  });
  for (const button of document.querySelectorAll("[data-open]"))
    button.addEventListener("click", () => document.getElementById(button.dataset.open).showModal());
  for (const button of document.querySelectorAll("[data-close]"))
    button.addEventListener("click", () => button.closest("dialog").close());
  if (location.hash === "#mocking") { // from an exchange: "use in mock"; once
    history.replaceState(null, "", location.pathname + location.search);
    document.getElementById("mocking")?.showModal();
  }
  // Two runs are chosen by their boxes.
  const compare = document.getElementById("compare-runs");
  const chosen = () => [...document.querySelectorAll("input[name=pick]:checked")].map((box) => Number(box.value)).sort((a, b) => a - b);
  if (compare) {
    document.addEventListener("change", () => { compare.disabled = chosen().length !== 2; });
    compare.addEventListener("click", () => { const [a, b] = chosen(); location.assign(`${home}/diff?a=${a}&b=${b}`); });
  }
  // A run that goes on is shown anew while it does, without losing what is unfolded.
  const going = document.querySelector("[data-going]");
  if (going) follow(going);
}

async function follow(place) {
  const source = new EventSource(`${home}/api/v1/events?run=${place.dataset.going}&after=${place.dataset.seq}`);
  let waiting = false;
  source.addEventListener("exchanges", () => {
    if (waiting) return;
    waiting = true;
    setTimeout(async () => {
      waiting = false;
      const open = new Set([...place.querySelectorAll("details[open]")].map((one) => one.id));
      const html = await part(`/parts/runs/${place.dataset.going}`).catch(() => null);
      if (html === null) return;
      place.innerHTML = trusted(html);
      localTimes(place);
      counts(place);
      for (const one of place.querySelectorAll("details")) if (open.has(one.id)) one.open = true;
      if (place.querySelector("[data-ended]")) source.close();
    }, 300);
  });
}

theme();
localTimes();
forms();
counts();
