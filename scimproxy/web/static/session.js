// The token: found in what a person pasted, and given to the server once.

export function tokenIn(text) {
  const found = /(?:#|^)(?:token=)?([A-Za-z0-9_-]{16,200})\s*$/.exec(text.trim());
  return found ? found[1] : "";
}

/** Give the token; returns what went wrong, or "". */
export async function enter(token) {
  try {
    const answer = await fetch("/api/v1/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
    });
    if (answer.ok) return "";
    const problem = await answer.json();
    return `${problem.title} ${problem.hint ?? ""}`;
  } catch {
    return "scimproxy does not answer. Does it still run?";
  }
}
