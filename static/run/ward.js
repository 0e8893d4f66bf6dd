/** What the doctor finds, told above the tabs and marked on every time axis while it lasts. */

import { announce } from "../js/shell.js";
import { byId, debounce, el, fetchJson } from "./dom.js";
import { glyph } from "./marks.js";

const PATIENCE_MS = 5000;
const EVERY_STEPS = 20;

export class Ward {
  /** `onAlerts(marks)` is told whenever the doctor has looked. */
  constructor(page, onAlerts) {
    this.page = page;
    this.onAlerts = onAlerts;
    this.known = new Set();
    this.seen = 0;
    this.lookSoon = debounce(() => this.look(), PATIENCE_MS);
    page.on("events", (events) => {
      this.seen += events.filter((event) => event.kind === "metric").length;
      if (this.seen >= EVERY_STEPS || events.some((event) => event.kind === "evaluation")) this.lookSoon();
    });
    page.on("again", () => this.lookSoon());
  }

  async look() {
    this.seen = 0;
    try {
      const { alerts } = await fetchJson(`${this.page.root}doctor/`);
      this.tell(alerts);
      this.onAlerts(alerts);
    } catch {
      this.lookSoon(); // what is wrong with the run can wait until the server answers
    }
  }

  tell(alerts) {
    const strip = byId("ward");
    strip.hidden = alerts.length === 0;
    byId("ward-list").replaceChildren(...alerts.map((alert) => el("li", {}, el("a", { href: "#doctor" }, glyph("alert"), `${alert.text}, since step ${alert.step}`))));
    const news = alerts.filter((alert) => !this.known.has(alert.text));
    if (news.length) announce(`The doctor found: ${news.map((alert) => alert.text).join("; ")}.`);
    this.known = new Set(alerts.map((alert) => alert.text));
  }
}
