/** Reading a sample: raw characters, tokens, links to turns, and the words it was found by. */

import { el } from "./dom.js";
import { mountMath } from "./math.js";
import { mountTokens } from "./tokens.js";

export function mountReading(root) {
  for (const sample of root.querySelectorAll("[data-sample]:not([data-reading])")) mount(sample);
}

function mount(sample) {
  sample.dataset.reading = "";
  mountMath(sample);
  const tools = sample.querySelector("[data-sample-tools]");
  if (!tools) return;
  tools.hidden = false;
  tools.querySelector("[data-raw]").addEventListener("click", (event) => toggleRaw(sample, event.currentTarget));
  const tokens = tools.querySelector("[data-show-tokens]");
  if (tokens) mountTokens(sample, tokens);
  sample.addEventListener("click", (event) => {
    const link = event.target.closest("[data-to-turn]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    aim(sample, link.dataset.toTurn);
  });
}

/** Bring a turn into view, whatever the layout; in a game or a tree its step is opened. */
export function aim(sample, index) {
  const turn = sample.querySelector(`[data-turn="${CSS.escape(index)}"]`);
  if (!turn) return false;
  const step = turn.closest("[id]")?.id;
  if (step) sample.querySelector(`[data-step][href="#${CSS.escape(step)}"]`)?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
  for (const old of sample.querySelectorAll("[data-aimed]")) delete old.dataset.aimed;
  turn.dataset.aimed = "";
  turn.tabIndex = -1;
  turn.focus({ preventScroll: true });
  turn.scrollIntoView({ block: "center" });
  return true;
}

const MARKS = { " ": "·", "\n": "⏎\n", "\t": "⇥\t", "\r": "␍", "\u00a0": "⍽", "\u200b": "|" };

function toggleRaw(sample, button) {
  const isRaw = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(isRaw));
  for (const block of sample.querySelectorAll("[data-block]")) {
    if (isRaw) {
      block.whole ??= [...block.childNodes];
      block.replaceChildren(...visible(block.source ?? block.textContent));
      block.closest("details.fold")?.setAttribute("open", "");
    } else if (block.whole) {
      block.replaceChildren(...block.whole);
    }
  }
  if (!isRaw) mountMath(sample);
}

function visible(text) {
  return text.split(/([ \n\t\r\u00a0\u200b]+)/).map((piece, place) =>
    place % 2 ? el("span", { className: "raw__space" }, [...piece].map((character) => MARKS[character]).join("")) : piece);
}

/** Mark every place that the pattern finds, without touching the text. */
export function markHits(root, source) {
  if (!source || !window.Highlight) return;
  let pattern;
  try {
    pattern = new RegExp(source, "gi");
  } catch {
    return;
  }
  const ranges = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.parentElement.closest("[data-block]")) continue;
    for (const hit of node.data.matchAll(pattern)) {
      const range = new Range();
      range.setStart(node, hit.index);
      range.setEnd(node, hit.index + hit[0].length);
      ranges.push(range);
    }
  }
  for (const range of ranges) range.startContainer.parentElement.closest("details.fold")?.setAttribute("open", "");
  CSS.highlights.set("found", new Highlight(...ranges));
}
