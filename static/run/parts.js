/** Tabs whose content the server renders when they are first opened, and again after the news they name. */

import { debounce, el, fetchPart, refreshPart } from "./dom.js";

export class Parts {
  constructor(page) {
    this.page = page;
    this.parts = [...document.querySelectorAll("[data-part]")].map((panel) => new Part(panel, page));
    page.on("events", (events) => this.renew(new Set(events.map((event) => event.kind))));
    page.on("again", () => { for (const part of this.parts) part.renew(); });
  }

  show(slug) {
    this.parts.find((part) => part.panel.id === slug)?.open();
  }

  /** Render anew what depends on one of these kinds of news. */
  renew(kinds) {
    for (const part of this.parts) if (part.refresh.some((kind) => kinds.has(kind))) part.renew();
  }
}

class Part {
  constructor(panel, page) {
    this.panel = panel;
    this.page = page;
    this.body = panel.querySelector("[data-part-body]");
    this.refresh = panel.dataset.refresh ? panel.dataset.refresh.split(" ") : [];
    this.isOpened = false;
    this.isStale = false;
    this.renewSoon = debounce(() => this.read(), 400);
  }

  async open() {
    if (this.isOpened) {
      if (this.isStale) await this.read();
      return;
    }
    this.isOpened = true;
    this.panel.setAttribute("aria-busy", "true");
    try {
      this.body.replaceChildren(...await fetchPart(this.panel.dataset.part));
      window.htmx?.process(this.body);
      if (this.panel.dataset.module) await (await import(this.panel.dataset.module)).mount(this.body, this.page);
    } catch {
      this.isOpened = false;
      const again = el("button", { className: "button button--small", type: "button" }, "Try again");
      again.addEventListener("click", () => this.open());
      this.body.replaceChildren(el("div", { className: "notice notice--error", role: "alert" }, el("p", {}, "This part could not be read; the server did not answer as it should."), again));
    }
    this.panel.removeAttribute("aria-busy");
  }

  /** What nobody looks at is read when somebody does. */
  renew() {
    if (!this.isOpened || this.panel.dataset.module) return;
    this.isStale = true;
    if (!this.panel.hidden) this.renewSoon();
  }

  async read() {
    this.isStale = false;
    await refreshPart(this.body, this.panel.dataset.part).catch(() => { this.isStale = true; });
  }
}
