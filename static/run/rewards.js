/** How rewards are spread: a click on a column shows the page at its step. */

import { follow } from "./following.js";

export function mount(element, page) {
  follow(page, "rewards", "sample");
  element.addEventListener("click", (event) => {
    const column = event.target.closest?.("g[data-step]");
    if (column) page.goTo(Number(column.dataset.step));
  });
}
