/**
 * What the run page shares with its tabs. A tab's module exports `mount(element, page)`; it may keep what it likes,
 * and hears of the run by `page.on(name, heard)`:
 *
 *   "events"  a batch of events as the socket sends them, in order
 *   "state"   the run's state has changed
 *   "again"   events were rewritten or too many were missed: read everything anew
 *   "shown"   the slug of the tab that is now open
 *   "moment"  the step that the page shows now, or null where it follows the run
 *   "vitals"  the vital signs of that step
 *
 * `page.root` is the run's address, `page.config` what the page was built with, `page.state` where the run stands, and
 * `page.at` the step it shows, or null. `page.goTo(step)` shows another one.
 */
export class Hub {
  constructor(config) {
    this.config = config;
    this.root = config.root;
    this.state = config.state;
    this.at = null;
    this.listeners = new Map();
  }

  on(name, heard) {
    if (!this.listeners.has(name)) this.listeners.set(name, []);
    this.listeners.get(name).push(heard);
  }

  tell(name, news) {
    if (name === "state") this.state = news;
    for (const heard of this.listeners.get(name) ?? []) heard(news);
  }
}
