// The filter box: suggestions below it, chosen with arrows and tab or enter (WAI-ARIA combobox).
import { ask } from "./page.js";

export class Suggest {
  #at = -1; #found = []; #asked = 0; #list; #input; #go;

  constructor(input, list, go) {
    this.#input = input; this.#list = list; this.#go = go;
    input.addEventListener("input", () => this.#ask());
    input.addEventListener("focus", () => this.#ask());
    input.addEventListener("blur", () => setTimeout(() => this.hide(), 120));
    input.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("mousedown", (event) => {
      const item = event.target.closest("li");
      if (item) { event.preventDefault(); this.#take(Number(item.dataset.at)); }
    });
  }

  get open() { return !this.#list.hidden; }

  hide() { this.#list.hidden = true; this.#at = -1; this.#input.setAttribute("aria-expanded", "false"); this.#input.removeAttribute("aria-activedescendant"); }

  async #ask() {
    const turn = ++this.#asked;
    const text = this.#input.value, at = this.#input.selectionStart ?? text.length;
    const found = await ask(`/api/v1/suggestions?text=${encodeURIComponent(text)}&at=${at}`).catch(() => null);
    if (!found || turn !== this.#asked || document.activeElement !== this.#input) return;
    this.#found = found.suggestions;
    this.#at = -1;
    if (!this.#found.length) { this.hide(); return; }
    this.#list.replaceChildren(...this.#found.map((one, place) => {
      const item = document.createElement("li");
      item.id = `suggestion-${place}`; item.dataset.at = place; item.setAttribute("role", "option"); item.setAttribute("aria-selected", "false");
      const word = document.createElement("b"), meaning = document.createElement("span");
      word.textContent = one.text; meaning.textContent = one.meaning;
      item.append(word, meaning);
      return item;
    }));
    this.#list.hidden = false;
    this.#input.setAttribute("aria-expanded", "true");
  }

  #key(event) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!this.open) return;
      event.preventDefault();
      const count = this.#found.length;
      this.#at = event.key === "ArrowDown" ? (this.#at + 1) % count : (this.#at <= 0 ? count : this.#at) - 1;
      [...this.#list.children].forEach((item, place) => item.setAttribute("aria-selected", place === this.#at));
      this.#list.children[this.#at].scrollIntoView({ block: "nearest" });
      this.#input.setAttribute("aria-activedescendant", `suggestion-${this.#at}`);
    } else if (event.key === "Tab" && this.open && !event.shiftKey && this.#at >= 0) {
      event.preventDefault();
      this.#take(this.#at);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (this.open && this.#at >= 0) this.#take(this.#at);
      else { this.hide(); this.#go(); }
    } else if (event.key === "Escape" && this.open) {
      event.preventDefault(); event.stopPropagation();
      this.hide();
    }
  }

  #take(place) {
    const one = this.#found[place], input = this.#input;
    const at = input.selectionStart ?? input.value.length;
    const more = one.text.endsWith(":") ? "" : " ";
    input.value = input.value.slice(0, one.start) + one.text + more + input.value.slice(at).trimStart();
    const cursor = one.start + one.text.length + more.length;
    input.setSelectionRange(cursor, cursor);
    this.#ask();
    if (more) this.#go();
  }
}
