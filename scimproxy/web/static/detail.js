// The detail of one exchange: the server's HTML, made alive: tabs, foldable JSON, copying, note and tags.
import { ask, copy, localTimes, part, trusted } from "./page.js";
import { Picker, mark, marked } from "./picker.js";

export class Detail {
  id = null; #box; #tab = "tab-request"; #abort = null; #told; #wait = 0; #picker = null;

  /** `told` has: closed(), said(text) */
  constructor(box, told) {
    this.#box = box; this.#told = told;
    box.addEventListener("click", (event) => this.#click(event));
    box.addEventListener("keydown", (event) => this.#key(event));
    box.addEventListener("submit", (event) => this.#submit(event));
  }

  get open() { return !this.#box.hidden; }

  async show(id) {
    this.id = id;
    this.#box.hidden = false;
    this.#abort?.abort();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    try {
      const html = await part(`/parts/exchanges/${id}`, signal);
      if (this.id !== id) return;
      const scrolled = this.#box.querySelector(".exchange")?.dataset.id === String(id) ? this.#box.scrollTop : 0;
      this.#box.innerHTML = trusted(html);
      this.#box.scrollTop = scrolled;
      this.#picker = null;
      this.#marks();
      localTimes(this.#box);
      this.#select(document.getElementById(this.#tab) ?? this.#box.querySelector("[role=tab]"));
    } catch (problem) {
      if (problem.name === "AbortError") return;
      const said = document.createElement("p");
      said.className = "fault";
      said.textContent = problem.message ?? "It could not be shown.";
      this.#box.replaceChildren(said);
    }
  }

  /** Show it again if this exchange changed, unless somebody writes in it. */
  changed(id) {
    if (id !== this.id || !this.open || this.#box.querySelector(".notes")?.contains(document.activeElement)) return;
    clearTimeout(this.#wait);
    this.#wait = setTimeout(() => { if (this.id === id && this.open) this.show(id); }, 150);
  }

  close() {
    if (!this.open) return;
    this.id = null;
    this.#abort?.abort();
    this.#box.hidden = true;
    this.#box.replaceChildren();
    this.#told.closed();
  }

  focus() { (this.#box.querySelector("[role=tab][aria-selected=true]") ?? this.#box).focus(); }

  tab(number) {
    const tab = this.#box.querySelectorAll("[role=tab]")[number - 1];
    if (tab) { this.#select(tab); tab.focus(); }
  }

  async curl() {
    if (this.id === null) return;
    const text = await ask(`/api/v1/exchanges/${this.id}/curl`);
    this.#told.said((await copy(text)) ? "Copied as a curl command." : "It could not be copied.");
  }

  async #code(form) {
    try {
      const text = await ask(`/api/v1/exchanges/${this.id}/code?as=${form}`);
      this.#told.said((await copy(text)) ? `Copied as ${form === "pytest" ? "a Python test (pytest)" : form}.` : "It could not be copied.");
    } catch (problem) { this.#told.said(`${problem.message} ${problem.hint ?? ""}`); }
  }

  #select(tab) {
    if (!tab) return;
    this.#tab = tab.id;
    for (const one of this.#box.querySelectorAll("[role=tab]")) {
      const chosen = one === tab;
      one.setAttribute("aria-selected", chosen); one.tabIndex = chosen ? 0 : -1;
      document.getElementById(one.getAttribute("aria-controls")).hidden = !chosen;
    }
    if (tab.id === "tab-scim") this.#resource();
  }

  async #resource() {
    const place = this.#box.querySelector("[data-fill=resource]");
    if (!place || place.dataset.done) return;
    place.dataset.done = "yes";
    const html = await part(`/parts/exchanges/${this.id}/resource`).catch(() => "");
    if (!html) return;
    place.innerHTML = trusted(html);
    place.hidden = false;
  }

  /** The JSON pointer of what was pressed: a line of JSON has it as its title. */
  async #pointer(event) {
    const line = event.target.closest(".json [title]");
    if (!line || !(event.altKey || event.target.closest(".name")) || !line.title.startsWith("/")) return false;
    event.preventDefault();
    this.#told.said((await copy(line.title)) ? `Copied the pointer ${line.title}` : "It could not be copied.");
    return true;
  }

  async #click(event) {
    const tab = event.target.closest("[role=tab]");
    if (tab) { this.#select(tab); return; }
    if (event.target.closest(".json")) { this.#pointer(event); return; }
    const button = event.target.closest("[data-do]");
    if (!button) return;
    const what = button.dataset.do;
    if (what === "close") this.close();
    else if (what === "curl") this.curl();
    else if (what === "code") this.#code(button.dataset.as);
    else if (what === "replay") this.#told.replay(this.id);
    else if (what === "link") this.#told.said((await copy(`${location.origin}/exchanges/${this.id}`)) ? "Copied the link; it works in this browser." : "It could not be copied.");
    else if (what === "compare") this.#compare();
    else if (what === "mark") this.mark();
  }

  #compare() {
    const form = this.#box.querySelector("[data-form=compare]");
    this.#picker ??= new Picker(form, this.id);
    if (form.hidden) this.#picker.open(); else this.#picker.close();
    this.#box.querySelector("[data-do=compare]").setAttribute("aria-expanded", String(!form.hidden));
  }

  /** Remember this exchange, so that another can be compared with it; or forget it. */
  mark() {
    const head = this.#box.querySelector(".exchange");
    if (this.id === null || !head) return;
    const was = marked()?.id === this.id;
    mark(was ? null : { id: this.id, words: head.querySelector("h2").textContent, status: head.querySelector(".pill").textContent, run: Number(head.dataset.run) });
    this.#picker = null;
    this.#marks();
    this.#told.said(was ? "Forgotten." : `Exchange ${this.id} is marked: “Compare with…” of another one has it first.`);
  }

  #marks() {
    this.#box.querySelector("[data-do=mark]")?.setAttribute("aria-pressed", String(marked()?.id === this.id));
  }

  /** In JSON: arrows go from line to line and fold, c copies the pointer of the line; returns whether it was one of them. */
  #inJson(event, json) {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const line = event.target.closest("[title]"), by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by) {
      const lines = [...json.querySelectorAll("[title]")].filter((one) => one.checkVisibility());
      const next = lines[Math.min(Math.max((line ? lines.indexOf(line) : -1) + by, 0), lines.length - 1)];
      if (next && !next.matches("summary")) next.tabIndex = -1;
      next?.focus();
    } else if (line?.matches("summary") && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      line.parentElement.open = event.key === "ArrowRight";
    } else if (line?.title.startsWith("/") && event.key === "c") {
      copy(line.title).then((done) => this.#told.said(done ? `Copied the pointer ${line.title}` : "It could not be copied."));
    } else return false;
    event.preventDefault(); event.stopPropagation();
    return true;
  }

  #key(event) {
    const json = event.target.closest(".json");
    if (json && this.#inJson(event, json)) return;
    const tab = event.target.closest("[role=tab]");
    if (!tab || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    const tabs = [...this.#box.querySelectorAll("[role=tab]")];
    const at = tabs.indexOf(tab), count = tabs.length;
    const next = { ArrowLeft: (at + count - 1) % count, ArrowRight: (at + 1) % count, Home: 0, End: count - 1 }[event.key];
    this.#select(tabs[next]); tabs[next].focus();
  }

  async #submit(event) {
    const form = event.target.closest("form");
    event.preventDefault();
    if (form.dataset.form === "compare") return; // the picker's
    const said = form.querySelector("[data-said]");
    const tags = form.tags.value.split(/[\s,]+/).filter(Boolean);
    try {
      await ask(`/api/v1/exchanges/${this.id}`, { method: "PATCH", body: { note: form.note.value || null, tags } });
      said.textContent = "Saved.";
    } catch (problem) { said.textContent = `${problem.message} ${problem.hint ?? ""}`; }
  }
}
