// JSON to look at: folded where it is deep or long, each value with its JSON pointer (RFC 6901) to copy.
// Nodes are made when they are unfolded, so that a document of megabytes opens at once.
import { copy } from "./page.js";

const OPEN_DEPTH = 4;
const CHUNK = 100;
const LONG = 2000;
const SECRET = /^(?:\w+ )?sha256:[0-9a-f]{8}$/;

class Exact { constructor(source) { this.source = source; } }

/** Parse; numbers keep their digits where the browser tells them. */
export function parse(text) {
  return JSON.parse(text, (_key, value, context) =>
    typeof value === "number" && context?.source !== undefined && String(value) !== context.source ? new Exact(context.source) : value);
}

function made(tag, kind, text) { const one = document.createElement(tag); if (kind) one.className = kind; if (text !== undefined) one.textContent = text; return one; }

const token = (key) => String(key).replaceAll("~", "~0").replaceAll("/", "~1");

export function view(value) {
  const root = made("div", "json");
  root.append(shown(value, "", 0));
  return root;
}

function scalar(value) {
  if (value instanceof Exact) return made("span", "num", value.source);
  if (typeof value === "string") {
    const whole = JSON.stringify(value);
    const one = made("span", SECRET.test(value) ? "secret" : "str", whole.length > LONG ? `${whole.slice(0, LONG)}…` : whole);
    if (whole.length > LONG) { const more = made("button", "more", ` all ${whole.length.toLocaleString()} characters`); more.type = "button"; more.onclick = () => { one.textContent = whole; }; const both = made("span"); both.append(one, more); return both; }
    return one;
  }
  return made("span", typeof value === "number" ? "num" : "lit", String(value));
}

function shown(value, pointer, depth) {
  if (value === null || typeof value !== "object" || value instanceof Exact) return scalar(value);
  const list = Array.isArray(value);
  const keys = list ? null : Object.keys(value);
  const count = list ? value.length : keys.length;
  if (!count) return made("span", "", list ? "[]" : "{}");
  const whole = made("span");
  const fold = made("button", "fold", list ? "[" : "{");
  fold.type = "button";
  const end = made("span", "", list ? "]" : "}");
  const hint = made("span", "dim", ` ${count.toLocaleString()} ${list ? (count === 1 ? "item" : "items") : count === 1 ? "member" : "members"} `);
  fold.setAttribute("aria-label", `${pointer || "the whole"}: ${hint.textContent.trim()}`);
  let body = null;
  const set = (open) => {
    fold.setAttribute("aria-expanded", open);
    hint.hidden = open;
    if (open && !body) { body = made("ul"); whole.insertBefore(body, end); rows(body, value, keys, 0, pointer, depth); }
    if (body) body.hidden = !open;
  };
  fold.addEventListener("click", () => set(fold.getAttribute("aria-expanded") !== "true"));
  whole.append(fold, hint, end);
  set(depth < OPEN_DEPTH && (depth === 0 || count <= CHUNK));
  return whole;
}

function rows(body, value, keys, from, pointer, depth) {
  const count = keys ? keys.length : value.length;
  const to = Math.min(count, from + CHUNK);
  for (let at = from; at < to; at++) {
    const key = keys ? keys[at] : at;
    const place = `${pointer}/${token(key)}`;
    const item = made("li");
    if (keys) item.append(made("span", "k", JSON.stringify(key)), ": ");
    item.append(shown(value[key], place, depth + 1));
    const mark = made("button", "ptr", place);
    mark.type = "button"; mark.title = "Copy this JSON pointer"; mark.setAttribute("aria-label", `Copy the pointer ${place}`);
    mark.onclick = async () => { if (await copy(place)) { mark.textContent = "copied"; setTimeout(() => { mark.textContent = place; }, 1200); } };
    item.append(mark);
    body.append(item);
  }
  if (to < count) {
    const item = made("li"), more = made("button", "more", `${(count - to).toLocaleString()} more`);
    more.type = "button";
    more.onclick = () => { item.remove(); rows(body, value, keys, to, pointer, depth); };
    item.append(more); body.append(item);
  }
}
