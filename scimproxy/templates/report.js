"use strict";
/* The report is whole without this: it only finds, folds, and moves by keys. Nothing is loaded or sent. */
(() => {
  const rows = [...document.querySelectorAll("details.row")];
  const box = document.getElementById("find");
  const told = document.getElementById("found");
  const bar = document.getElementById("bar");
  if (bar) bar.hidden = false;

  const texts = new Map();
  const textOf = (row) => {
    if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return texts.get(row);
  };
  const search = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const fits = words.every((word) => textOf(row).includes(word));
      row.hidden = !fits;
      if (fits) count += 1;
    }
    told.textContent = words.length ? `${count} of ${rows.length}` : "";
  };
  let waiting = 0;
  if (box) box.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 80); });

  const fold = (open) => { for (const row of rows) if (!row.hidden) row.open = open; };
  document.getElementById("unfold")?.addEventListener("click", () => fold(true));
  document.getElementById("fold")?.addEventListener("click", () => fold(false));

  const seen = () => rows.filter((row) => !row.hidden);
  const at = () => document.activeElement?.closest?.("details.row") ?? null;
  const go = (step) => {
    const list = seen();
    if (!list.length) return;
    const now = list.indexOf(at());
    const next = list[now < 0 ? (step > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, now + step))];
    next.querySelector("summary").focus();
    next.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target instanceof HTMLInputElement && event.target.type === "search";
    if (typing) { if (event.key === "Escape") { box.value = ""; search(); box.blur(); } return; }
    const row = at();
    if (event.key === "j") go(1);
    else if (event.key === "k") go(-1);
    else if (event.key === "/" && box) { event.preventDefault(); box.focus(); }
    else if (/^[1-5]$/.test(event.key) && row) row.querySelector(`.tab-${event.key}`)?.click();
    else if (event.key === "Escape" && row) { row.open = false; row.querySelector("summary").focus(); }
  });

  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const row = target && target.closest("details.row");
    if (row) { row.hidden = false; row.open = true; row.scrollIntoView(); }
  };
  addEventListener("hashchange", reveal);
  reveal();

  for (const time of document.querySelectorAll("time")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    time.title = time.textContent;
    time.textContent = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  }
})();
