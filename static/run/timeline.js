/** The timeline follows the run while it is open, and shows the steps before the one the page shows. */

import { byId, debounce, refreshPart } from "./dom.js";

export function mount(element, page) {
  let shown = true, stale = false;
  const read = () => {
    stale = false;
    return refreshPart(byId("timeline-drawing"), `${page.root}parts/timeline-drawing/${page.at === null ? "" : `?at=${page.at}`}`);
  };
  const soon = debounce(read, 300), later = debounce(read, 2000);
  page.on("shown", (slug) => {
    shown = slug === "timeline";
    if (shown && stale) soon();
  });
  page.on("events", (events) => {
    stale ||= page.at === null && events.some((event) => event.kind === "metric");
    if (stale && shown) later();
  });
  page.on("moment", () => {
    stale = true;
    if (shown) soon();
  });
  page.on("again", later);
  if (page.at !== null) soon();
}
