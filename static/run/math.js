/** Sets the formulas of texts once they are on the screen; what sets them is loaded with the first that is. */

import { hasFormula, pieces, setFormula } from "./formulas.js";

const KATEX = new URL("../vendor/katex-0.19.1/katex.min.js", import.meta.url);
let loading = null;

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    show(target);
  }
});

/** Watch the blocks below a root that hold formulas; code stays code. */
export function mountMath(root) {
  for (const block of root.querySelectorAll("[data-block]:not(.turn__text--code), [data-math]")) {
    if (block.childElementCount === 0 && hasFormula(block.textContent)) watcher.observe(block);
  }
}

/* What is wider than its place can be scrolled, and so must be in reach of the keyboard. */
const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});

/** Set every formula below these nodes at once, before anybody sees them. */
export async function setMath(nodes) {
  const katex = await loaded();
  const blocks = nodes.flatMap((node) => [...(node.querySelectorAll?.("[data-math]") ?? [])]);
  if (!katex) return;
  for (const block of blocks) {
    if (block.childElementCount === 0) set(katex, block);
    widths.observe(block);
  }
}

async function show(block) {
  const katex = await loaded();
  if (!katex || block.childElementCount || !block.isConnected) return;
  set(katex, block);
  block.classList.add("has-formulas");
  block.dispatchEvent(new CustomEvent("kumite:formulas", { bubbles: true }));
}

/** What sets formulas, or null where it cannot be had: texts then stay as they are, and the next one tries again. */
async function loaded() {
  loading ??= import(KATEX).then(() => window.katex);
  try {
    return await loading;
  } catch {
    loading = null;
    return null;
  }
}

function set(katex, block) {
  block.source = block.textContent;
  block.replaceChildren(...pieces(block.source).map((piece) => (typeof piece === "string" ? piece : setFormula(katex, piece))));
}
