// The list: only the rows that are seen are in the page. Newest first; older ones come in pages as one scrolls down.
// At most KEEP rows are held; what falls off at an end is asked again when one scrolls back there.
import { clock, home, utc } from "./page.js";

const ROW = 32;
const KEEP = 6000;
const PAGE = 200;
const OVER = 8;
const ALONE = 4;
const RUSH = 20;

export const took = (ms) => ms == null ? "" : ms >= 10000 ? `${(ms / 1000).toFixed(1)} s` : ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : ms >= 100 ? `${ms.toFixed(0)} ms` : ms >= 1 ? `${ms.toFixed(1)} ms` : `${ms.toFixed(2)} ms`;

function node(tag, kind, text) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  if (text !== undefined) made.textContent = text;
  return made;
}

export class List {
  rows = []; // exchanges, the newest first
  runs = new Map(); steps = new Map();
  older = false; newer = false; // whether there are more at each end that are not held
  searched = null; // so far back the server has looked for what fits, if it has not found enough yet
  selected = null;
  #lines = []; #drawn = new Map(); #index = new Map(); #told; #busy = false; #frame = 0; #fresh = new Set(); #stale = true;

  /** `told` has: chosen(id, byKey), want("older"|"newer", id) -> page, changed() */
  constructor(scroller, told) {
    this.scroller = scroller; this.space = scroller.querySelector("#space"); this.window = scroller.querySelector("#window");
    this.#told = told;
    scroller.addEventListener("scroll", () => this.#soon(), { passive: true });
    new ResizeObserver(() => this.#soon()).observe(scroller);
    this.window.addEventListener("click", (event) => {
      const line = event.target.closest("[data-id]");
      if (line) this.choose(Number(line.dataset.id), true);
    });
  }

  /** Show a first page. */
  fill(page) {
    this.rows = page.exchanges; this.older = page.more; this.newer = false; this.searched = page.searched; this.#fresh.clear();
    this.#learn(page);
    this.scroller.scrollTop = 0;
    this.#rebuild();
  }

  #learn(page) {
    for (const run of page.runs ?? []) this.runs.set(run.id, run);
    for (const step of page.steps ?? []) if (step.exchange_id != null) this.steps.set(step.exchange_id, step);
  }

  /** Take what came; returns how many were new. */
  take(data) {
    const steps = data.steps?.length;
    this.#learn(data);
    const come = new Map();
    const newest = this.rows[0]?.id ?? 0;
    const oldest = this.rows.at(-1)?.id ?? 0;
    let added = 0, lost = false;
    for (const row of data.exchanges) {
      const known = this.get(row.id) ?? come.get(row.id);
      if (known) {
        Object.assign(known, row);
        this.#drawn.delete(row.id);
      } else if (row.id > newest ? !this.newer : row.id > oldest || !this.older) {
        this.rows.push(row); come.set(row.id, row); this.#fresh.add(row.id); added++;
      }
    }
    if (added > RUSH) this.#fresh.clear(); // nobody sees forty rows glow, and painting them costs the most
    const gone = new Set(data.gone ?? []);
    if (gone.size) { const before = this.rows.length; this.rows = this.rows.filter((row) => !gone.has(row.id)); lost = before !== this.rows.length; }
    if (added) {
      this.rows.sort((a, b) => b.id - a.id);
      if (this.rows.length > KEEP) {
        if (this.scroller.scrollTop < ROW * 4 || this.rows.findIndex((row) => row.id === this.selected) < KEEP / 2) { this.rows.length = KEEP; this.older = true; this.searched = null; }
        else { this.rows = this.rows.slice(-KEEP); this.newer = true; }
      }
    }
    if (added || lost || steps || data.runs?.length) this.#rebuild(); else this.#soon(true);
    return added;
  }

  clear() { this.rows = []; this.older = this.newer = false; this.searched = null; this.#rebuild(); }

  get(id) { const at = this.#index.get(id); return at === undefined ? null : this.#lines[at].row; }

  choose(id, told = true) {
    this.selected = id;
    this.scroller.setAttribute("aria-activedescendant", id === null ? "" : `x${id}`);
    if (id === null) this.scroller.removeAttribute("aria-activedescendant");
    this.#soon(true);
    if (id !== null) this.reveal(id);
    if (told) this.#told.chosen(id);
  }

  /** Go to the next (1) or previous (-1) exchange. */
  step(by) {
    if (!this.rows.length) return null;
    const at = this.rows.findIndex((row) => row.id === this.selected);
    const next = at < 0 ? this.#firstSeen() : Math.min(Math.max(at + by, 0), this.rows.length - 1);
    this.choose(this.rows[next].id);
    if (next > this.rows.length - 20) this.#more("older");
    return this.selected;
  }

  #firstSeen() {
    const from = Math.floor(this.scroller.scrollTop / ROW);
    const line = this.#lines.slice(from).find((one) => one.row);
    return line ? this.rows.indexOf(line.row) : 0;
  }

  reveal(id) {
    const at = this.#index.get(id);
    if (at === undefined) return;
    const top = at * ROW, view = this.scroller;
    if (top < view.scrollTop) view.scrollTop = top - ROW;
    else if (top + ROW > view.scrollTop + view.clientHeight) view.scrollTop = top + ROW * 2 - view.clientHeight;
  }

  top() { this.scroller.scrollTop = 0; }
  get atTop() { return this.scroller.scrollTop < ROW; }

  // Lines are exchanges, and a head wherever the run or the step changes. What is seen stays where it is.
  #rebuild() {
    const anchor = this.#anchor();
    const lines = [];
    // Runs that go on side by side (a suite through a recorder) share one head: the other's rows carry its number.
    let run = null;
    const last = new Map();
    this.rows.forEach((row, at) => {
      if (row.run_id !== run && (run === null || this.rows.slice(at, at + ALONE).every((one) => one.run_id === row.run_id))) {
        run = row.run_id; last.clear(); lines.push({ group: run });
      }
      const mark = this.steps.get(row.id);
      if (mark && mark.number !== last.get(row.run_id)) lines.push({ mark, of: row.id });
      if (mark) last.set(row.run_id, mark.number);
      lines.push({ row, other: row.run_id !== run });
    });
    this.#lines = lines;
    this.#index = new Map();
    lines.forEach((line, at) => { if (line.row) this.#index.set(line.row.id, at); });
    this.space.style.height = `${lines.length * ROW}px`;
    if (anchor) {
      const at = this.#index.get(anchor.id);
      if (at !== undefined) this.scroller.scrollTop = at * ROW - anchor.offset;
    }
    this.#drawn.clear();
    this.#soon(true);
    this.#told.changed();
  }

  #anchor() {
    const top = this.scroller.scrollTop;
    if (top < ROW) return null; // at the top one watches what comes
    for (let at = Math.floor(top / ROW); at < this.#lines.length; at++)
      if (this.#lines[at].row) return { id: this.#lines[at].row.id, offset: at * ROW - top };
    return null;
  }

  #soon(stale = false) {
    this.#stale ||= stale;
    if (!this.#frame) this.#frame = requestAnimationFrame(() => { this.#frame = 0; this.#draw(); });
  }

  #draw() {
    const view = this.scroller;
    const first = Math.max(0, Math.floor(view.scrollTop / ROW) - OVER);
    const last = Math.min(this.#lines.length, Math.ceil((view.scrollTop + view.clientHeight) / ROW) + OVER);
    if (!this.#stale && first === this.first && last === this.last) return;
    this.first = first; this.last = last; this.#stale = false;
    this.window.style.transform = `translateY(${first * ROW}px)`;
    const drawn = new Map();
    const nodes = [];
    for (let at = first; at < last; at++) {
      const line = this.#lines[at];
      const key = line.row ? line.row.id : line.mark ? `s${line.of}` : `g${line.group}-${at}`;
      const made = this.#drawn.get(key) ?? this.#line(line);
      if (line.row) { made.setAttribute("aria-selected", line.row.id === this.selected); made.setAttribute("aria-posinset", at + 1); }
      drawn.set(key, made); nodes.push(made);
    }
    this.#drawn = drawn;
    this.window.replaceChildren(...nodes);
    if (last > this.#lines.length - 25) this.#more("older");
    if (first < 10 && this.newer) this.#more("newer");
  }

  async #more(end) {
    if (this.#busy || !this[end] || !(this.rows.length || this.searched)) return;
    this.#busy = true;
    try {
      const edge = end === "older" ? this.searched ?? this.rows.at(-1).id : this.rows[0].id;
      const page = await this.#told.want(end, edge, PAGE);
      if (!page || (end === "older" && (this.searched ?? this.rows.at(-1)?.id) !== edge)) return; // another list by now
      this.#learn(page);
      const known = new Set(this.rows.map((row) => row.id));
      const found = page.exchanges.filter((row) => !known.has(row.id));
      if (end === "older") { this.rows.push(...found); this.older = page.more; this.searched = page.searched; } else { this.rows.unshift(...found.reverse()); this.newer = page.more; }
      if (this.rows.length > KEEP) {
        if (end === "older") { this.rows = this.rows.slice(-KEEP); this.newer = true; } else { this.rows.length = KEEP; this.older = true; this.searched = null; }
      }
      this.#rebuild();
    } finally { this.#busy = false; }
  }

  #line(line) {
    if (line.row) return this.#exchange(line.row, line.other);
    if (line.mark) {
      const made = node("div", "row step");
      made.setAttribute("aria-hidden", "true"); // a list of options holds options only: each says its step itself
      made.append(node("span", line.mark.result, line.mark.result), node("b", "", `${line.mark.number}. ${line.mark.note || "step"}`));
      return made;
    }
    const run = this.runs.get(line.group);
    const made = node("div", "row group");
    made.setAttribute("aria-hidden", "true");
    const link = node("a", "", `Run ${line.group}`);
    link.href = `${home}/runs/${line.group}`; link.tabIndex = -1; // for the mouse; the detail of an exchange has it too
    made.append(node("b", "", run?.name ?? ""), link);
    if (run) {
      made.append(node("span", "", run.kind));
      if (run.target && !run.target.includes(run.name)) made.append(node("span", "", run.target));
      const when = node("span", "push", new Date(run.started_at).toLocaleString());
      when.title = utc(run.started_at);
      made.append(when);
    }
    return made;
  }

  #exchange(row, other) {
    const pending = row.state === "pending";
    const code = row.status_code;
    const bad = !pending && (code == null || code >= 500 || row.failure);
    const made = node("div", `row${this.steps.has(row.id) ? " inside" : ""}${pending ? " pending" : ""}${bad ? " bad" : ""}${row.total_ms > 1000 ? " slow" : ""}`);
    if (this.#fresh.delete(row.id)) made.classList.add("fresh");
    made.id = `x${row.id}`; made.dataset.id = row.id;
    made.setAttribute("role", "option");
    const time = node("time", "time", clock(row.started_at));
    time.dateTime = row.started_at; time.title = utc(row.started_at);
    const what = node("span", "what");
    if (other) what.append(node("span", "tag other", `run ${row.run_id}`));
    what.append(node("span", `method m-${row.method}`, row.method), row.operation.summary);
    what.title = `${row.method} ${row.target}`;
    for (const tag of row.tags) what.append(node("span", "tag", tag));
    if (row.note && row.note !== this.steps.get(row.id)?.note) { const mark = node("span", "tag", "note"); mark.title = row.note; what.append(mark); }
    const op = row.operation;
    const resource = node("span", "resource", op.resource_id ? `${op.resource_type ?? ""} ${op.resource_id}`.trim() : op.resource_type ?? "");
    resource.title = resource.textContent;
    const word = pending ? "…" : code != null ? `${code}${row.failure ? "!" : ""}` : row.failure ? row.failure.kind : row.state;
    const status = node("span", `status st${code != null ? Math.floor(code / 100) : pending ? "" : 5}`, word);
    if (row.failure) status.title = row.failure.message;
    const taken = node("span", "took");
    taken.append(node("span", "num", pending ? "" : took(row.total_ms)));
    if (row.total_ms != null && !pending) taken.append(bar(row.total_ms));
    const step = this.steps.get(row.id);
    if (step) what.append(node("span", "sr", `, step ${step.number} ${step.note ?? ""} ${step.result}`));
    if (pending) status.append(node("span", "sr", "in flight"));
    made.append(time, what, resource, node("span", "client", row.client ?? "–"), status, taken);
    return made;
  }
}

const SVG = "http://www.w3.org/2000/svg";

/** A bar whose length grows with the logarithm: 1 ms is short, 10 s is all. */
function bar(ms) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 6"); svg.setAttribute("preserveAspectRatio", "none"); svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS(SVG, "rect");
  rect.setAttribute("width", Math.max(2, Math.min(100, (Math.log10(ms + 1) / 4) * 100)).toFixed(1));
  rect.setAttribute("height", "6"); rect.setAttribute("rx", "1.5");
  svg.append(rect);
  return svg;
}
