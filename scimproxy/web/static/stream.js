// Exchanges as they come. Says by itself what it knew last, so that nothing is missed: after a reload of the server,
// a sleep of the machine, or a network that went away.

import { home } from "./page.js";

const SLOW = 5000;
const SILENT = 25000; // the server says something every ten seconds

export class Stream {
  #source = null; #seq = null; #wait = 250; #timer = 0; #watch = 0; #told; #query = ""; #closed = false;

  /** `told` has: exchanges(data), state(word), refused() */
  constructor(told) {
    this.#told = told;
    addEventListener("online", () => this.#again(0));
    document.addEventListener("visibilitychange", () => { if (!document.hidden && this.#source?.readyState === 2) this.#again(0); });
  }

  /** Watch from a write on; `query` is what the list shows ("run=3&filter=..."). */
  open(seq, query) {
    this.#seq = seq; this.#query = query; this.#closed = false;
    this.#again(0);
  }

  close() { this.#closed = true; clearTimeout(this.#timer); clearTimeout(this.#watch); this.#source?.close(); }

  #again(wait) {
    clearTimeout(this.#timer);
    if (this.#closed || this.#seq === null) return;
    this.#source?.close();
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  #alive() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => { this.#told.state("lost"); this.#again(0); }, SILENT);
  }

  #connect() {
    const source = new EventSource(`${home}/api/v1/events?after=${this.#seq}${this.#query ? `&${this.#query}` : ""}`);
    this.#source = source;
    source.addEventListener("hello", () => { this.#wait = 250; this.#alive(); this.#told.state("live"); });
    source.addEventListener("beat", () => this.#alive());
    source.addEventListener("exchanges", (event) => {
      this.#alive();
      this.#seq = Math.max(this.#seq, Number(event.lastEventId));
      this.#told.exchanges(JSON.parse(event.data));
    });
    source.addEventListener("trouble", (event) => { this.#alive(); this.#told.trouble(JSON.parse(event.data)); });
    source.onerror = async () => {
      if (source !== this.#source) return;
      source.close();
      this.#told.state("lost");
      clearTimeout(this.#watch);
      // Is it gone, or does it know us no more?
      const status = await fetch(`${home}/api/v1`).then((answer) => answer.status, () => 0);
      if (status === 401) { this.#told.refused(); return; }
      this.#wait = Math.min(this.#wait * 1.6, SLOW);
      this.#again(status === 200 ? 250 : this.#wait);
    };
  }
}
