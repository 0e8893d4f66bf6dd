/** Formulas with their numbers, and how rewards are spread: a click on a column shows the page at its step. */

import { follow } from "./following.js";
import { setMath } from "./math.js";

export async function mount(element, page) {
  follow(page, "rewards", "metric", { part: "formulas", prepare: setMath });
  follow(page, "rewards", "sample", { part: "rewards-drawing" });
  element.addEventListener("click", (event) => {
    const column = event.target.closest?.("g[data-step]");
    if (column) page.goTo(Number(column.dataset.step));
  });
  await setMath([element]);
}
