// "Compare with…": which exchange? Those of the same resource and operation are suggested, the one that was marked
// stands first; a word narrows them down, a number is any exchange. WAI-ARIA combobox with its list always shown.
import { ask, clock, home } from "./page.js";

const KEY = "marked";

export function marked() {
  try { return JSON.parse(sessionStorage.getItem(KEY)); } catch { return null; }
}

/** Remember an exchange, in this tab; null forgets it. */
export function mark(one) {
  try { if (one) sessionStorage.setItem(KEY, JSON.stringify(one)); else sessionStorage.removeItem(KEY); } catch { /* no storage */ }
}

export class Picker {
  #form; #input; #list; #said; #id; #all = null; #shown = []; #at = -1;

  /** `form` is the detail's; `id` the exchange that is compared. */
  constructor(form, id) {
    this.#form = form; this.#id = id;
    this.#input = form.querySelector("input"); this.#list = form.querySelector("ul"); this.#said = form.querySelector("[data-picked]");
    this.#input.addEventListener("input", () => { this.#at = -1; this.#show(); });
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("mousedown", (event) => event.preventDefault());
    this.#list.addEventListener("click", (event) => {
      const item = event.target.closest("li");
      if (item) this.#go(this.#shown[Number(item.dataset.at)].id);
    });
    form.addEventListener("submit", (event) => { event.preventDefault(); event.stopPropagation(); this.#take(); });
  }

  async open() {
    this.#form.hidden = false;
    this.#input.focus();
    if (this.#all) return;
    this.#said.textContent = "Looking …";
    try {
      const { exchanges } = await ask(`/api/v1/exchanges/${this.#id}/comparable`);
      const kept = marked();
      this.#all = exchanges.filter((one) => one.id !== kept?.id).map((one) => ({
        id: one.id, near: one.near, words: one.operation.summary, run: one.run_id,
        status: String(one.status_code ?? one.state), at: one.started_at,
      }));
      if (kept && kept.id !== this.#id) this.#all.unshift({ ...kept, near: "marked" });
      this.#show();
    } catch (problem) { this.#said.textContent = `${problem.message} ${problem.hint ?? ""}`; }
  }

  close() { this.#form.hidden = true; }

  get #typed() { return this.#input.value.trim().toLowerCase(); }

  #show() {
    const words = this.#typed.split(/\s+/).filter(Boolean);
    const number = /^\d{1,15}$/.test(this.#typed) ? Number(this.#typed) : null;
    this.#shown = (this.#all ?? []).filter((one) => {
      const text = `${one.id} ${one.words} ${one.status} ${one.near} run ${one.run}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    if (number && number !== this.#id && !this.#shown.some((one) => one.id === number))
      this.#shown.unshift({ id: number, words: `exchange ${number}`, status: "", near: "by its number" });
    this.#list.replaceChildren(...this.#shown.map((one, place) => {
      const item = document.createElement("li");
      item.id = `${this.#list.id}-${place}`; item.dataset.at = place;
      item.setAttribute("role", "option"); item.setAttribute("aria-selected", place === this.#at);
      for (const [kind, text] of [["num", one.id], ["grow", one.words], ["dim", one.run ? `run ${one.run}` : ""], ["dim", one.at ? clock(one.at) : ""], [`mono st${one.status[0] ?? ""}`, one.status], ["pill", one.near]]) {
        const part = document.createElement("span");
        part.className = kind; part.textContent = text;
        item.append(part, " ");
      }
      return item;
    }));
    this.#list.hidden = !this.#shown.length;
    this.#input.setAttribute("aria-expanded", String(this.#shown.length > 0));
    this.#said.textContent = this.#shown.length ? "" : "None of these fits. Any exchange can be given by its number.";
    this.#select(this.#at);
  }

  #select(place) {
    this.#at = place;
    [...this.#list.children].forEach((item, at) => item.setAttribute("aria-selected", at === place));
    const item = this.#list.children[place];
    if (item) { this.#input.setAttribute("aria-activedescendant", item.id); item.scrollIntoView({ block: "nearest" }); }
    else this.#input.removeAttribute("aria-activedescendant");
  }

  #key(event) {
    const count = this.#shown.length;
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && count) {
      event.preventDefault();
      this.#select(event.key === "ArrowDown" ? (this.#at + 1) % count : (this.#at <= 0 ? count : this.#at) - 1);
    } else if (event.key === "Escape") {
      event.preventDefault(); event.stopPropagation();
      this.close();
      this.#form.parentElement.querySelector("[data-do=compare]").focus();
    }
  }

  /** What is chosen; else what was typed if that is one exchange; else the first, if there is one. */
  #take() {
    const one = this.#shown[this.#at] ?? this.#shown[0];
    if (one) this.#go(one.id);
  }

  #go(id) { location.assign(`${home}/diff?of=exchanges&a=${this.#id}&b=${id}`); }
}
