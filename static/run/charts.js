/** The run's charts: their lines, the looks they share, and a zoom that belongs to the person. */

import { newLook } from "../charts/line_chart.js";
import { Chart } from "./chart.js";
import { byId } from "./dom.js";
import { River } from "./river.js";
import { Stack } from "./stack.js";
import { Terms } from "./terms.js";

const MAX_POINTS = 4000;
const KINDS = { stack: Stack, river: River, parts: Terms };

export class Charts {
  constructor(groups, onPick) {
    this.onPick = onPick;
    this.look = newLook();
    this.lines = new Map();
    this.marks = [];
    this.at = null;
    this.hovered = null;
    this.charts = groups.flatMap((group) => group.charts).map((config) => new (KINDS[config.kind] ?? Chart)(config, this));
  }

  get hasPoints() {
    return [...this.lines.values()].some((line) => line.steps.length > 0);
  }

  load(series, marks) {
    this.lines = new Map(Object.entries(series).map(([name, { steps, values }]) => [name, { steps, x: steps, y: values }]));
    this.marks = marks.map((mark) => ({ ...mark, x: mark.step }));
    for (const chart of this.charts) chart.appear();
    this.touch();
  }

  /** Add a step's values; false once a line has grown so long that it should be read again, coarser. */
  append(step, values) {
    let short = true;
    for (const [name, value] of Object.entries(values)) {
      const line = this.lines.get(name);
      if (!line) continue;
      line.steps.push(step);
      line.y.push(value);
      short &&= line.steps.length < MAX_POINTS;
    }
    for (const chart of this.charts) if (chart.draws(values)) chart.touch();
    return short;
  }

  mark(mark) {
    this.marks.push({ ...mark, x: mark.step });
    this.touch();
  }

  /** The step whose values legends tell; null for the newest. */
  get reading() {
    return this.hovered ?? this.at;
  }

  /** Show every chart as of a step; null follows the run. */
  showAt(step) {
    this.at = step;
    this.follow();
  }

  /** The pointer is at a step of one chart; all others show the same. */
  hover(step) {
    if (this.hovered === step) return;
    this.hovered = step;
    this.follow();
  }

  follow() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => { for (const chart of this.charts) chart.follow(); });
  }

  smoothBy(weight) {
    this.look.smoothing = weight;
    this.touch();
  }

  zoomed(range) {
    byId("reset-zoom").hidden = range === null && this.charts.every((chart) => chart.zoomY === null);
    this.touch();
  }

  resetZoom() {
    for (const chart of this.charts) chart.zoomY = null;
    this.look.zoom = null;
    this.zoomed(null);
  }

  touch() {
    for (const chart of this.charts) chart.touch();
  }
}
