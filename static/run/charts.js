/** The run's charts. Only those in view are drawn, at most twice a second, and a zoom belongs to the person. */

import { onThemeChange } from "../js/theme.js";
import { Chart } from "./chart.js";
import { byId } from "./dom.js";
import { Stack } from "./stack.js";

const REDRAW_MS = 500;
const MAX_POINTS = 4000;

export class Charts {
  constructor(groups, onPick) {
    this.onPick = onPick;
    this.smoothing = 0;
    this.zoom = null;
    this.lines = new Map();
    this.marks = [];
    this.charts = groups.flatMap((group) => group.charts).map((config) => new (config.kind === "stack" ? Stack : Chart)(config, this));
    this.seen = new IntersectionObserver((entries) => {
      for (const entry of entries) entry.target.chart.inView = entry.isIntersecting;
    }, { rootMargin: "200px" });
    for (const chart of this.charts) this.seen.observe(chart.figure);
    onThemeChange(() => this.touch());
    setInterval(() => this.redraw(), REDRAW_MS);
  }

  get hasPoints() {
    return [...this.lines.values()].some((line) => line.steps.length > 0);
  }

  load(series, marks) {
    this.lines = new Map(Object.entries(series));
    this.marks = marks;
    for (const chart of this.charts) chart.appear();
    this.touch();
    this.redraw();
  }

  /** Add a step's values; false once a line has grown so long that it should be read again, coarser. */
  append(step, values) {
    let short = true;
    for (const [name, value] of Object.entries(values)) {
      const line = this.lines.get(name);
      if (!line) continue;
      line.steps.push(step);
      line.values.push(value);
      short &&= line.steps.length < MAX_POINTS;
    }
    for (const chart of this.charts) if (chart.draws(values)) chart.dirty = true;
    return short;
  }

  mark(mark) {
    this.marks.push(mark);
    this.touch();
  }

  smoothBy(weight) {
    this.smoothing = weight;
    this.touch();
    this.redraw();
  }

  zoomTo(range) {
    this.zoom = range;
    byId("reset-zoom").hidden = range === null && this.charts.every((chart) => chart.zoomY === null);
    this.touch();
    this.redraw();
  }

  touch() {
    for (const chart of this.charts) chart.dirty = true;
  }

  redraw() {
    if (document.hidden || !window.Plotly) return;
    for (const chart of this.charts) if (chart.dirty && chart.figure.hidden) chart.appear();
    for (const chart of this.charts) if (chart.dirty && chart.inView && chart.isShown) chart.draw();
  }
}
