/** A tab whose drawing follows the run while it is open, and shows the step that the page shows. */

import { byId, debounce, refreshPart } from "./dom.js";

/** `slug` is the tab; its drawing is the part `<slug>-drawing`, anew after events of this kind. */
export function follow(page, slug, kind) {
  const drawing = `${slug}-drawing`;
  let shown = true, stale = false;
  const read = () => {
    stale = false;
    return refreshPart(byId(drawing), `${page.root}parts/${drawing}/${page.at === null ? "" : `?at=${page.at}`}`);
  };
  const soon = debounce(read, 300), later = debounce(read, 2000);
  page.on("shown", (now) => {
    shown = now === slug;
    if (shown && stale) soon();
  });
  page.on("events", (events) => {
    stale ||= page.at === null && events.some((event) => event.kind === kind);
    if (stale && shown) later();
  });
  page.on("moment", () => {
    stale = true;
    if (shown) soon();
  });
  page.on("again", later);
  if (page.at !== null) soon();
}
