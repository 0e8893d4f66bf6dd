/** Voting by keys: 1 to 4 choose, Enter or n goes to the next pair. Games on the ballot are stepped through as everywhere. */

import { mountSteps } from "../run/steps.js";

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const choice = document.querySelector(`[data-ballot] [data-key="${CSS.escape(event.key)}"]`);
  const next = document.querySelector("[data-ballot] [data-next]");
  if (choice) choice.click();
  else if (next && (event.key === "n" || (event.key === "Enter" && event.target === document.body))) next.click();
});

document.addEventListener("htmx:after:swap", () => {
  mountSteps(document);
  document.querySelector("[data-ballot] [data-next]")?.focus();
});
