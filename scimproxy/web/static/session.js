// The token: found in what a person pasted, and given to the server once. What comes back is where the pages are.

const KEY = "home";

/** Where the pages were when the token was given last, at this port; "" where that is not known. */
export function known() {
  try { const kept = localStorage.getItem(KEY) ?? ""; return /^\/~[\w-]+$/.test(kept) ? kept : ""; } catch { return ""; }
}

export function forget() { try { localStorage.removeItem(KEY); } catch { /* no storage */ } }

export function tokenIn(text) {
  const found = /(?:#|^)(?:token=)?([A-Za-z0-9_-]{16,200})\s*$/.exec(text.trim());
  return found ? found[1] : "";
}

/** Give the token; returns what went wrong, or where the pages are. */
export async function enter(token) {
  try {
    const answer = await fetch("/api/v1/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
    });
    const found = await answer.json();
    if (!answer.ok) return { problem: `${found.title} ${found.hint ?? ""}` };
    try { localStorage.setItem(KEY, found.home); } catch { /* no storage: the token is asked for again */ }
    return { home: found.home };
  } catch {
    return { problem: "scimproxy does not answer. Does it still run?" };
  }
}
