/** Comments on points of curves: marks on the lines, and a box that opens at a point by a click, or by each chart's button. */

import { el, fetchJson, fetchPart } from "./dom.js";

export class Remarks {
  /** `page` is the hub, `charts` all charts of the run. Without the dialog, as behind a share link, nothing is offered. */
  constructor(page, charts) {
    this.page = page;
    this.charts = charts;
    this.dialog = document.getElementById("point");
    if (!this.dialog) return;
    this.body = this.dialog.querySelector("[data-body]");
    this.title = this.dialog.querySelector("h2");
    this.mayEdit = "mayEdit" in this.dialog.dataset;
    this.dialog.querySelector("[data-close]").addEventListener("click", () => this.close());
    document.addEventListener("keydown", (event) => { if (event.key === "Escape" && this.dialog.open) this.close(); });
    new MutationObserver(() => this.load()).observe(this.body, { childList: true }); // something was said, or taken back
    if (this.mayEdit) for (const chart of charts.charts) this.addButton(chart);
    page.on("again", () => this.load());
    this.load();
  }

  async load() {
    const { remarks } = await fetchJson(this.dialog.dataset.url);
    this.charts.remarks = remarks;
    this.charts.touch();
  }

  /** For the keyboard and for fingers: a comment at the step the page shows, on the chart's first line. */
  addButton(chart) {
    const { series, kind, title } = chart.config;
    if (kind !== "lines") return;
    const button = el("button", { type: "button", className: "button button--small chart__say" }, "Comment", el("span", { className: "visually-hidden" }, ` on ${title}`));
    button.addEventListener("click", () => {
      const name = series.map((line) => line.name).find((line) => !chart.hidden.has(line) && this.charts.line(line).steps.length);
      const steps = this.charts.line(name ?? series[0].name).steps;
      if (name) this.open(name, this.page.at ?? steps.at(-1), { from: button, writes: true });
    });
    chart.figure.querySelector(".chart__head").append(button);
  }

  /** A point was clicked: viewers hear what was said there, editors may say something. */
  pick(name, step) {
    if (!this.dialog || !name) return;
    const isSaid = (this.charts.remarks ?? []).some((each) => each.metric === name && each.step === step);
    if (isSaid || this.mayEdit) this.open(name, step, {});
  }

  async open(name, step, { from = null, writes = false }) {
    this.from = from;
    const at = `${name}@${step}`;
    const nodes = await fetchPart(`${this.dialog.dataset.url}?${new URLSearchParams({ at })}`);
    this.title.textContent = `${name} at step ${step.toLocaleString("en")}`;
    this.body.replaceChildren(...nodes);
    window.htmx?.process(this.body);
    const form = this.body.querySelector(".comments__new");
    if (form && (writes || !this.body.querySelector(".thread"))) form.open = true;
    if (!this.dialog.open) this.dialog.show();
    if (writes) form?.querySelector("textarea").focus();
    else this.title.focus({ preventScroll: true });
  }

  close() {
    this.dialog.close();
    this.from?.focus();
  }
}
