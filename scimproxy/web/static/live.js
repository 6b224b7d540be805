// The list of exchanges and what stands beside it: filter, stream, detail, keys, the address bar.
import { ask, home } from "./page.js";
import { List } from "./list.js";
import { Detail } from "./detail.js";
import { Stream } from "./stream.js";
import { Suggest } from "./suggest.js";
import { enter, tokenIn } from "./session.js";

const $ = (id) => document.getElementById(id);
const filter = $("filter"), runs = $("run"), told = $("told"), split = $("split"), pause = $("pause"), newer = $("newer"), empty = $("empty");
const MOST_HELD = 2000; // of more that came while the list was held, it is asked anew
let held = false, waiting = null, unseen = 0, asking = null, fresh = true, coming = [], soon = 0;

const list = new List($("rows"), {
  chosen: (id) => show(id),
  want: (end, id, limit) => ask(`/api/v1/exchanges?${query()}&limit=${limit}&${end === "older" ? "before" : "after"}=${id}`).catch(() => null),
  changed: () => nothing(),
});
const detail = new Detail($("detail"), { closed: () => { split.classList.remove("open"); $("grip").hidden = true; list.choose(null, false); address(); $("rows").focus(); }, said, replay });
const stream = new Stream({
  exchanges: (data) => {
    for (const run of data.runs) option(run);
    if (held) { waiting ??= []; unseen += data.exchanges.length; if (unseen <= MOST_HELD) waiting.push(data); else waiting.length = 0; button(); return; }
    coming.push(data);
    soon ||= setTimeout(arrive, 50); // what comes close together is shown at once; no frame is waited for: none comes in a hidden tab
  },
  state: (word) => state(word),
  trouble: (problem) => tell(`${problem.title}. ${problem.hint ?? ""}`),
  refused: () => { state("lost"); if (!$("entering").open) $("entering").showModal(); },
});
const suggest = new Suggest(filter, $("suggestions"), () => load());

/** Join what came into one: the newest word on each exchange counts. */
function joined(all) {
  if (all.length === 1) return all[0];
  const rows = new Map(), gone = new Set(), runs = [], steps = [];
  for (const data of all) {
    for (const id of data.gone ?? []) { rows.delete(id); gone.add(id); }
    for (const row of data.exchanges) { rows.set(row.id, row); gone.delete(row.id); }
    runs.push(...data.runs); steps.push(...data.steps);
  }
  return { exchanges: [...rows.values()], gone: [...gone], runs, steps };
}

function arrive() {
  soon = 0;
  if (!coming.length) return;
  const data = joined(coming), away = !list.atTop;
  coming = [];
  const added = list.take(data);
  if (away && added) { unseen += added; button(); }
  if (detail.id !== null && data.exchanges.some((row) => row.id === detail.id)) detail.changed(detail.id);
}

function query() {
  const found = new URLSearchParams();
  if (runs.value) found.set("run", runs.value);
  if (filter.value.trim()) found.set("filter", filter.value.trim());
  return found.toString();
}

const WORDS = { live: "live", held: "held", lost: "connection lost, trying again", wait: "connecting" };
function state(word) {
  const shown = word === "live" && held ? "held" : word;
  const place = $("state");
  if (place.dataset.state === shown) return;
  place.dataset.state = shown; place.textContent = WORDS[shown];
}

let quiet = 0;
function said(text) { $("spoken").textContent = text; tell(text, true); clearTimeout(quiet); quiet = setTimeout(() => { if (told.textContent === text) told.hidden = true; }, 2500); }
function tell(text, hint = false) { told.textContent = text; told.hidden = !text; told.classList.toggle("hint", hint); }

function nothing() {
  empty.hidden = list.rows.length > 0 || fresh;
  if (empty.hidden) return;
  const title = document.createElement("b");
  if (list.searched) {
    title.textContent = "Nothing yet.";
    empty.replaceChildren(title, `Searched back to exchange ${list.searched.toLocaleString()}, going on …`);
    return;
  }
  title.textContent = query() ? "Nothing fits." : "Nothing was recorded yet.";
  empty.replaceChildren(title, query() ? "Take something out of the filter, or press esc in it to clear it." : "Send a request through scimproxy: it appears here as it happens.");
}

function button() {
  newer.hidden = unseen === 0;
  newer.textContent = `${unseen.toLocaleString()} new${held ? ", held back" : ""}`;
}

function option(run) {
  if (runs.querySelector(`option[value="${run.id}"]`)) return;
  const made = document.createElement("option");
  made.value = run.id; made.textContent = `${run.id} · ${run.kind} · ${run.name}`;
  const after = [...runs.options].find((one) => one.value && Number(one.value) < run.id);
  runs.insertBefore(made, after ?? null);
}

async function load() {
  asking?.abort();
  asking = new AbortController();
  const text = query();
  filter.removeAttribute("aria-invalid");
  try {
    if (filter.value.trim()) {
      const { problem } = await ask(`/api/v1/suggestions?text=${encodeURIComponent(filter.value)}`, { signal: asking.signal });
      if (problem) { filter.setAttribute("aria-invalid", "true"); tell(`${problem.title}. ${problem.hint ?? ""}`, true); return; }
    }
    const page = await ask(`/api/v1/exchanges?limit=200&${text}`, { signal: asking.signal });
    if (text !== query()) return;
    tell(page.exchanges.length ? "" : page.doubts.join("; "), true);
    for (const run of page.runs) option(run);
    fresh = false; waiting = null; unseen = 0; coming = []; button();
    list.fill(page);
    stream.open(page.seq, text);
    address();
    if (detail.id !== null) list.choose(detail.id, false);
  } catch (problem) {
    if (problem.name === "AbortError") return;
    if (problem.status === 401) { $("entering").showModal(); return; }
    filter.setAttribute("aria-invalid", String(problem.status === 400));
    tell(problem.status ? `${problem.message}. ${problem.hint ?? ""}` : "scimproxy does not answer.");
    if (!problem.status) { state("lost"); setTimeout(load, 1500); }
  }
}

function address(push = false) {
  const text = query();
  const path = home + (detail.id === null ? "/" : `/exchanges/${detail.id}`) + (text ? `?${text}` : "");
  if (path === location.pathname + location.search) return;
  history[push ? "pushState" : "replaceState"]({ id: detail.id }, "", path);
}

function show(id) {
  if (id === null) { detail.close(); return; }
  split.classList.add("open");
  $("grip").hidden = false;
  const was = detail.id;
  detail.show(id);
  address(was === null);
  list.reveal(id);
}

function hold(on) {
  held = on;
  pause.setAttribute("aria-pressed", String(on));
  pause.textContent = on ? "Go on" : "Pause";
  if (!on && waiting) { if (unseen > MOST_HELD) load(); else list.take(joined(waiting)); waiting = null; unseen = 0; }
  button();
  const place = $("state").dataset.state;
  if (place === "live" || place === "held") { $("state").dataset.state = ""; state("live"); }
}

async function toNewest() {
  if (held) hold(false);
  unseen = 0; button();
  if (list.newer) await load(); else list.top();
}

// --- what a person does

let typing = 0;
filter.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(load, 250); });
$("bar").addEventListener("submit", (event) => { event.preventDefault(); load(); });
runs.addEventListener("change", load);
pause.addEventListener("click", () => hold(!held));
newer.addEventListener("click", toNewest);
$("rows").addEventListener("scroll", () => { if (list.atTop && unseen && !held) { unseen = 0; button(); } }, { passive: true });
$("help").addEventListener("click", () => helping());
$("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { problem, home: there } = await enter(tokenIn($("again").value));
  if (problem) { $("entered").textContent = problem; return; }
  location.replace(there + location.pathname.slice(home.length) + location.search);
});

async function helping() {
  const body = $("terms").tBodies[0];
  if (!body.rows.length) {
    const found = await ask("/api/v1/suggestions?text=").catch(() => ({ suggestions: [] }));
    for (const one of found.suggestions) {
      const row = body.insertRow();
      const head = document.createElement("th");
      head.scope = "row"; head.className = "mono"; head.textContent = one.text;
      row.append(head); row.insertCell().textContent = one.meaning;
    }
  }
  $("helping").showModal();
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const writing = event.target.closest("input, textarea, select");
  if (event.key === "Escape") {
    if (event.target === filter && filter.value) { filter.value = ""; load(); }
    else if (writing) $("rows").focus();
    else detail.close();
    return;
  }
  if (writing) return;
  const inTabs = event.target.closest("[role=tab]");
  const keys = {
    j: () => list.step(1), k: () => list.step(-1), "/": () => { filter.focus(); filter.select(); }, "?": helping,
    g: toNewest, p: () => hold(!held), c: () => detail.curl(), m: () => detail.mark(),
  };
  if (event.target === $("rows")) Object.assign(keys, {
    ArrowDown: () => list.step(1), ArrowUp: () => list.step(-1),
    Enter: () => { if (list.selected === null) list.step(1); if (detail.open) detail.focus(); else show(list.selected); },
  });
  if (/^[1-5]$/.test(event.key) && detail.open) keys[event.key] = () => detail.tab(Number(event.key));
  const act = keys[event.key];
  if (!act || (inTabs && event.key.startsWith("Arrow"))) return;
  event.preventDefault();
  act();
});

// --- send one again, as it was or edited

let original = "", replayed = null;
async function replay(id) {
  try {
    const found = await ask(`/api/v1/exchanges/${id}/replay`);
    replayed = id; original = found.text;
    $("replay-to").value = found.to; $("replay-text").value = found.text;
    $("replayed").textContent = [...found.notices, ...found.left_out].join("\n");
    $("replaying").showModal();
  } catch (problem) { tell(`${problem.message} ${problem.hint ?? ""}`); }
}
$("replay-close").addEventListener("click", () => $("replaying").close());
$("replay").addEventListener("submit", async (event) => {
  event.preventDefault();
  const place = $("replayed"), text = $("replay-text").value;
  place.textContent = "Sending …";
  try {
    const body = { to: $("replay-to").value, auth: $("replay-auth").value || null, text: text === original ? null : text };
    const found = await ask(`/api/v1/exchanges/${replayed}/replay`, { method: "POST", body });
    place.textContent = `${found.unanswered ?? found.sentence}. ${found.notices.join(" ")} `;
    if (found.exchange_id) for (const [word, path] of [[`Exchange ${found.exchange_id}`, `/exchanges/${found.exchange_id}`], ["Compare", `/diff?of=exchanges&a=${replayed}&b=${found.exchange_id}`]]) {
      const link = document.createElement("a");
      link.href = home + path; link.textContent = word;
      place.append(link, " ");
    }
  } catch (problem) { place.textContent = `${problem.message} ${problem.hint ?? ""}`; }
});

addEventListener("popstate", () => fromAddress());

function fromAddress() {
  const given = new URLSearchParams(location.search);
  filter.value = given.get("filter") ?? "";
  runs.value = given.get("run") ?? "";
  const found = /^\/exchanges\/(\d+)$/.exec(location.pathname.slice(home.length));
  if (found) { split.classList.add("open"); $("grip").hidden = false; detail.show(Number(found[1])); } else if (detail.open) detail.close();
}

// --- the width of the detail

const grip = $("grip");
function width(percent) {
  const held = Math.min(80, Math.max(20, percent));
  split.style.setProperty("--detail", `${held}%`);
  grip.setAttribute("aria-valuenow", Math.round(held));
  try { localStorage.setItem("detail", String(held)); } catch { /* no storage */ }
}
try { const kept = Number(localStorage.getItem("detail")); if (kept) width(kept); } catch { /* no storage */ }
grip.addEventListener("pointerdown", (event) => { grip.setPointerCapture(event.pointerId); event.preventDefault(); });
grip.addEventListener("pointermove", (event) => { if (grip.hasPointerCapture(event.pointerId)) { const box = split.getBoundingClientRect(); width((1 - (event.clientX - box.left) / box.width) * 100); } });
grip.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: 4, ArrowRight: -4 }[event.key];
  if (by) { event.preventDefault(); width(Number(grip.getAttribute("aria-valuenow")) + by); }
});

// --- begin

const page = await ask("/api/v1/runs?limit=100").catch(() => ({ runs: [] }));
for (const run of page.runs) option(run);
fromAddress();
await load();
$("rows").focus({ preventScroll: true, focusVisible: false });
