/** A tab whose drawing follows the run while it is open, and shows the step that the page shows. */

import { byId, debounce, refreshPart } from "./dom.js";

/** `slug` is the tab; its part is read anew after events of this kind, and `prepare` works on it before it is shown. */
export function follow(page, slug, kind, { part = `${slug}-drawing`, prepare = null } = {}) {
  let shown = true, stale = false;
  const read = () => {
    stale = false;
    return refreshPart(byId(part), `${page.root}parts/${part}/${page.at === null ? "" : `?at=${page.at}`}`, prepare);
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
