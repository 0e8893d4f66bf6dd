/** The run's charts: their lines, the looks they share, and a zoom that belongs to the person and shows more. */

import { placeOf } from "../charts/axes.js";
import { newLook } from "../charts/line_chart.js";
import { Chart } from "./chart.js";
import { byId, debounce } from "./dom.js";
import { Lines } from "./lines.js";
import { River } from "./river.js";
import { Stack } from "./stack.js";
import { Terms } from "./terms.js";

const MAX_POINTS = 4000;
const PIXELS = 600;
const ZOOM_WAIT_MS = 200;
const KINDS = { stack: Stack, river: River, parts: Terms };

export class Charts {
  /** `read(parameters)` asks for lines up to what the page holds. */
  constructor(groups, { read, onPick, onLook }) {
    this.read = read;
    this.onPick = onPick;
    this.onLook = onLook;
    this.look = newLook();
    this.at = null;
    this.hovered = null;
    this.all = new Lines(EMPTY, "step");
    this.close = null;
    this.marked = [];
    this.remarks = [];
    this.early = new Set();
    this.charts = groups.flatMap((group) => group.charts).map((config) => new (KINDS[config.kind] ?? Chart)(config, this));
    this.readCloseSoon = debounce(() => this.readClose(), ZOOM_WAIT_MS);
  }

  get hasPoints() {
    return this.all.hasPoints;
  }

  /** Read everything anew, on the axis that is chosen; an axis the run tells nothing of gives way to steps. */
  async load() {
    const { answer, lines } = await this.readLines({});
    if (lines.hasPoints && !lines.hasAxis) {
      this.look.axis = "step";
      return this.load();
    }
    this.all = lines;
    this.close = null;
    this.marked = answer.marks;
    for (const chart of this.charts) chart.appear();
    if (this.look.zoom) this.readCloseSoon();
    return this.touch();
  }

  /** Lines as the server has them, and what the run said while they travelled. */
  async readLines(parameters) {
    const early = [], { axis } = this.look;
    this.early.add(early);
    try {
      const answer = await this.read({ ...parameters, pixels: PIXELS, along: axis === "step" ? "" : axis });
      const lines = new Lines(answer, axis);
      for (const event of early) lines.append(event);
      return { answer, lines };
    } finally {
      this.early.delete(early);
    }
  }

  /** What of a line is drawn: its part in the zoom where that has been read, else all of it. */
  line(name) {
    return (this.close ?? this.all).get(name);
  }

  xOf(step) {
    return (this.close ?? this.all).xOf(step);
  }

  get marks() {
    return this.marked.map((mark) => ({ ...mark, x: this.xOf(mark.step) }));
  }

  /** Points of these lines that people said something at: `{ x, y, text }`. */
  remarksOn(names) {
    return this.remarks.filter(({ metric }) => names.includes(metric)).flatMap(({ metric, step, number }) => {
      const line = this.line(metric);
      const y = line.y[placeOf(line.steps, step + 1) - 1];
      return y === undefined || y === null ? [] : [{ x: this.xOf(step), y, text: `${number} comment${number === 1 ? "" : "s"}, step ${step}` }];
    });
  }

  /** Add a metric event; false once a line has grown so long that it should be read again, coarser. */
  append(event) {
    for (const early of this.early) early.push(event);
    const longest = this.all.append(event);
    this.close?.append(event);
    for (const chart of this.charts) if (chart.draws(event.data.values)) chart.touch();
    return longest < MAX_POINTS;
  }

  /** What the doctor finds, in place of what it found before. */
  alert(alerts) {
    const others = this.marked.filter((mark) => mark.kind !== "alert");
    if (!alerts.length && others.length === this.marked.length) return;
    this.marked = [...others, ...alerts];
    this.touch();
  }

  mark(mark) {
    this.marked.push(mark);
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

  /** Change how all charts look: `{ smoothing }`, `{ log }` or `{ axis }`. */
  async change(look) {
    const steps = this.zoomSteps;
    const moved = "axis" in look && look.axis !== this.look.axis;
    Object.assign(this.look, look);
    if ("log" in look) for (const chart of this.charts) chart.zoomY = null;
    if (moved) {
      this.look.zoom = null;
      await this.load();
      if (steps) this.zoomToSteps(steps);
    }
    this.touch();
    this.onLook();
  }

  /** The steps the zoom shows, or null. */
  get zoomSteps() {
    return this.look.zoom && this.look.zoom.map((x) => Math.max(0, Math.round(this.all.stepOf(x))));
  }

  zoomToSteps(steps) {
    this.look.zoom = steps.map((step) => this.all.xOf(step));
    this.zoomed(this.look.zoom);
  }

  zoomed(range) {
    byId("reset-zoom").hidden = range === null && this.charts.every((chart) => chart.zoomY === null);
    if (range === null) this.close = null;
    else this.readCloseSoon();
    this.touch();
    this.onLook();
  }

  /** The part in the zoom at the resolution of the screen; until it is there, the coarse lines stand in for it. */
  async readClose() {
    const steps = this.zoomSteps;
    if (!steps) return;
    const { lines } = await this.readLines({ x_from: steps[0], x_to: steps[1] });
    if (this.zoomSteps?.join() !== steps.join()) return;
    this.close = lines;
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

const EMPTY = { axes: [], lines: [] };
