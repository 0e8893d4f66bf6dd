/** The command palette (Ctrl-K), the keys that lead to pages (g, then a letter), and the list of both (?). */

import { announce } from "./shell.js";

const WAIT_MS = 120;
const CHORD_MS = 1200;

const palette = document.getElementById("palette");
const input = document.getElementById("palette-input");
const list = document.getElementById("palette-hits");
const empty = document.getElementById("palette-empty");
const shortcuts = document.getElementById("shortcuts");

let asked = 0;
let timer = 0;
let current = -1;

async function search() {
  const mine = (asked += 1);
  const response = await fetch(`${palette.dataset.url}?q=${encodeURIComponent(input.value)}`, { headers: { Accept: "application/json" } });
  if (response.redirected) location.reload();
  if (!response.ok || mine !== asked) return;
  const { hits } = await response.json();
  if (mine !== asked) return;
  list.replaceChildren(...hits.map(line));
  empty.hidden = hits.length > 0;
  select(hits.length ? 0 : -1);
  announce(hits.length === 1 ? "One place" : `${hits.length} places`);
}

function line(hit, place) {
  const option = document.createElement("a");
  option.className = "palette__hit";
  option.id = `palette-hit-${place}`;
  option.href = hit.url;
  option.tabIndex = -1;
  option.setAttribute("role", "option");
  for (const [name, text] of [["kind", hit.kind], ["title", hit.title], ["detail", hit.detail]]) {
    const part = document.createElement("span");
    part.className = `palette__${name}`;
    part.textContent = text;
    option.append(part);
  }
  option.addEventListener("pointermove", () => select(place));
  return option;
}

function select(place) {
  list.children[current]?.setAttribute("aria-selected", "false");
  current = place;
  const option = list.children[place];
  option?.setAttribute("aria-selected", "true");
  option?.scrollIntoView({ block: "nearest" });
  if (option) input.setAttribute("aria-activedescendant", option.id);
  else input.removeAttribute("aria-activedescendant");
}

function open() {
  if (palette.open) return;
  shortcuts.close();
  input.value = "";
  palette.showModal();
  input.focus();
  search();
}

input.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(search, WAIT_MS);
});

input.addEventListener("keydown", (event) => {
  const count = list.children.length;
  const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (move && count) {
    event.preventDefault();
    select((current + move + count) % count);
  } else if (event.key === "Enter" && list.children[current]) {
    event.preventDefault();
    list.children[current].click();
  }
});

for (const dialog of [palette, shortcuts]) {
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

const isTyping = (target) => target.closest?.("input, textarea, select, [contenteditable]") !== null;
let chord = "";
let chordTimer = 0;

document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey) {
    event.preventDefault();
    open();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || palette.open || isTyping(event.target)) return;
  if (event.key === "?") {
    event.preventDefault();
    if (shortcuts.open) shortcuts.close();
    else shortcuts.showModal();
    return;
  }
  clearTimeout(chordTimer);
  if (chord) {
    const place = [...shortcuts.querySelectorAll("[data-go]")].find((key) => key.dataset.go === `${chord} ${event.key}`);
    chord = "";
    if (place) {
      event.preventDefault();
      location.assign(place.dataset.url);
    }
  } else if (event.key === "g") {
    chord = "g";
    chordTimer = setTimeout(() => { chord = ""; }, CHORD_MS);
  }
});

for (const button of document.querySelectorAll("[data-palette-open]")) {
  button.hidden = false;
  button.addEventListener("click", open);
}
