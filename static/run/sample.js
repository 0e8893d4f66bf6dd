/** A sample's own page, and the pages about samples: keys to its neighbours, addresses of turns and tokens. */

import { aim, markHits, mountReading } from "./reading.js";
import { mountMath } from "./math.js";
import { mountSteps } from "./steps.js";
import { openToken } from "./tokens.js";

mountSteps(document);
mountReading(document);
mountMath(document);
markAll();
document.addEventListener("kumite:formulas", markAll);

function markAll() {
  for (const place of document.querySelectorAll("[data-find]")) markHits(place, place.dataset.find);
}

function follow() {
  const sample = document.querySelector("[data-sample]");
  const [, turn, token] = location.hash.match(/^#turn-(\d+)(?:-token-(\d+))?$/) ?? [];
  if (!sample || turn === undefined) return;
  aim(sample, turn);
  if (token !== undefined) openToken(sample, turn, token);
}

document.addEventListener("keydown", (event) => {
  const rel = { j: "prev", k: "next" }[event.key];
  if (!rel || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, [contenteditable]")) return;
  document.querySelector(`a[rel="${rel}"]`)?.click();
});
window.addEventListener("hashchange", follow);
follow();
