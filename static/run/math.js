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

async function show(block) {
  loading ??= import(KATEX).then(() => window.katex);
  let katex;
  try {
    katex = await loading;
  } catch {
    loading = null; // the text stays as it is; the next one tries again
    return;
  }
  if (block.childElementCount || !block.isConnected) return;
  block.source = block.textContent;
  block.replaceChildren(...pieces(block.source).map((piece) => (typeof piece === "string" ? piece : setFormula(katex, piece))));
  block.classList.add("has-formulas");
  block.dispatchEvent(new CustomEvent("kumite:formulas", { bubbles: true }));
}
