/**
 * A line chart for any page: lines over steps or another axis, bands from low to high, marks on the axis, a legend that
 * tells the newest values and hides lines, zooming, and a table of the same numbers.
 *
 *   const chart = new LineChart(chartFigure({ title: "Loss" }), { onZoom: (range) => readAgain(range) });
 *   page.append(chart.figure);
 *   chart.show([{ name: "loss/total", label: "Loss", tint: "series-1", x: [1, 2], y: [0.4, 0.3] }]);
 *
 * A line is `{ name, label, tint, dash?, x, y, low?, high?, newest? }`: `x` ascends, `y` may hold null for gaps, `low`
 * and `high` are the band, drawn where they differ; `dash` is one of `DASHES` (each line has its own otherwise);
 * `newest` is the legend's figure (else the last `y`). A mark is `{ x, kind, text }`, kinds as in `MARKS`.
 *
 * Options: `range` of the vertical axis, `height` in pixels, `look` shared by several charts (see `newLook`), `unit`
 * after values, `onZoom(range or null)`, `onPick({ name, index, x, y })`, `onHover(the same or null)`. A line across the
 * chart stands where `pointAt(x)` says, one of its own where `hoverAt(x)` does. Give the figure back with `destroy()`.
 */

import { el, figure as shown } from "../run/dom.js";
import { token } from "../js/theme.js";
import { AXES } from "./axes.js";
import { Cursors } from "./cursors.js";
import { CONFIG, DASHES, layout, padded, sheer } from "./look.js";
import { MARKS, markTrace } from "./marks.js";
import { drawSoon, enrol, retire } from "./redraws.js";
import { smooth } from "./smoothing.js";
import { tableOf } from "./table.js";

export { DASHES, MARKS };
export { chartFigure } from "./markup.js";

const FEW_POINTS = 40;

/** How charts of one page look together: smoothing weight, logarithmic values, what x counts, and the zoom in x. */
export const newLook = () => ({ smoothing: 0, log: false, axis: "step", zoom: null });

export class LineChart {
  constructor(figure, options = {}) {
    this.figure = figure;
    this.options = options;
    this.look = options.look ?? newLook();
    this.plot = figure.querySelector("[data-plot]");
    this.legend = figure.querySelector("[data-legend]");
    this.table = figure.querySelector("[data-table]");
    this.hidden = new Set();
    this.zoomY = null;
    this.inView = false;
    this.dirty = true;
    this.revision = 0;
    this.held = { lines: [], marks: [] };
    this.cursors = new Cursors(this.plot);
    this.legend?.addEventListener("click", (event) => this.toggle(event.target.closest("[data-line]")));
    this.table?.closest("details").addEventListener("toggle", () => this.fillTable());
    enrol(this);
  }

  /** Draw these lines and marks from now on. */
  show(lines, marks = []) {
    this.held = { lines, marks };
    this.touch();
  }

  /** What is drawn; a chart that shares its lines with others looks them up here. */
  lines() {
    return this.held.lines;
  }

  marks() {
    return this.held.marks;
  }

  touch() {
    this.dirty = true;
    drawSoon();
  }

  comesIntoView(inView) {
    this.inView = inView;
  }

  get wantsDrawing() {
    return this.dirty && this.inView && this.figure.offsetParent !== null && Boolean(window.Plotly);
  }

  /** `range` is in the units of the horizontal axis; null shows everything. */
  zoomTo(range) {
    this.look.zoom = range;
    this.touch();
    this.options.onZoom?.(range);
  }

  resetZoom() {
    this.zoomY = null;
    this.zoomTo(null);
  }

  destroy() {
    retire(this);
    if (this.plot.classList.contains("js-plotly-plot")) window.Plotly.purge(this.plot);
  }

  /** Point at a place of the horizontal axis and draw a veil over what comes after it; null points nowhere. */
  pointAt(x) {
    this.cursors.point = x;
    this.cursors.place();
  }

  hoverAt(x) {
    this.cursors.hover = x;
    this.cursors.place();
  }

  toggle(key) {
    if (!key) return;
    const { line } = key.dataset;
    if (!this.hidden.delete(line)) this.hidden.add(line);
    key.setAttribute("aria-pressed", String(!this.hidden.has(line)));
    this.touch();
  }

  draw() {
    this.dirty = false;
    const first = !this.plot.classList.contains("js-plotly-plot");
    const described = { ...this.layout(), datarevision: (this.revision += 1) }; // arrays grow in place, unseen by Plotly
    window.Plotly.react(this.plot, this.traces(), described, CONFIG);
    if (first) this.listen();
    this.cursors.place();
    this.fillLegend();
    this.fillTable();
  }

  listen() {
    this.plot.on("plotly_relayout", (change) => {
      const x = limits(change, "xaxis"), y = limits(change, "yaxis");
      if (y) this.zoomY = y;
      if (change["xaxis.autorange"] || change["yaxis.autorange"]) this.resetZoom();
      else if (x || y) this.zoomTo(x ?? this.look.zoom);
    });
    this.plot.on("plotly_click", (event) => {
      const point = event.points?.find((one) => one.data.meta);
      if (point) this.options.onPick?.(pointed(point));
    });
    // Plotly tells of hovering late, and again after a drawing, also when the pointer has left by then.
    let isOver = true;
    this.plot.addEventListener("pointermove", () => { isOver = true; });
    this.plot.addEventListener("pointerleave", () => {
      isOver = false;
      this.options.onHover?.(null);
    });
    this.plot.on("plotly_hover", (event) => {
      const point = event.points?.find((one) => one.data.meta);
      if (point && isOver) this.options.onHover?.(pointed(point));
    });
    this.plot.on("plotly_unhover", () => this.options.onHover?.(null));
  }

  traces() {
    const drawn = this.lines().map((line, place) => ({ ...line, dash: line.dash ?? DASHES[place % DASHES.length] }));
    const traces = drawn.filter((line) => !this.hidden.has(line.name)).flatMap((line) => this.tracesOf(line));
    const marks = this.marks();
    if (marks.length) traces.push(markTrace(marks));
    return traces;
  }

  tracesOf(line) {
    const colour = token(`--${line.tint}`);
    const base = { type: "scatter", x: line.x, mode: line.x.length <= FEW_POINTS ? "lines+markers" : "lines", marker: { size: 4 } };
    const stroke = { color: colour, width: 1.75, dash: line.dash };
    const traces = [];
    const banded = line.low && line.high && line.low.some((low, place) => low < line.high[place]);
    if (banded) traces.push({ type: "scatter", ...outline(line, this.look.log), mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: sheer(colour, 0.16), hoverinfo: "skip" });
    const { smoothing } = this.look;
    if (smoothing) traces.push({ ...base, y: line.y, line: { ...stroke, width: 1 }, opacity: 0.28, hoverinfo: "skip" });
    const spread = banded ? " <i>(%{text})</i>" : "";
    traces.push({
      ...base,
      y: smooth(line.y, smoothing),
      text: banded ? Array.from(line.low, (low, place) => `${shown(low)} to ${shown(line.high[place])}`) : undefined,
      meta: line.name,
      line: stroke,
      hovertemplate: `${escaped(line.label)}: %{y:.4~g}${this.options.unit ?? ""}${spread}<extra></extra>`,
    });
    return traces;
  }

  layout() {
    const axis = AXES[this.look.axis];
    const fixed = this.options.range && !this.look.log ? padded(this.options.range) : null;
    return layout({
      height: this.options.height ?? 208,
      x: { title: axis.title, hover: axis.hover, range: this.look.zoom },
      y: { log: this.look.log, range: this.zoomY ?? fixed },
    });
  }

  /** The newest value beside each name: the chart's news without hovering. */
  fillLegend() {
    if (!this.legend) return;
    const lines = this.lines();
    const keys = [...this.legend.querySelectorAll("[data-line]")];
    if (keys.map((key) => key.dataset.line).join("\n") !== lines.map((line) => line.name).join("\n")) {
      this.legend.replaceChildren(...lines.map((line, place) => el("li", {}, this.key(line, place))));
    }
    for (const line of lines) {
      const now = this.legend.querySelector(`[data-now="${CSS.escape(line.name)}"]`);
      if (now) now.textContent = shown(line.newest ?? line.y.at(-1));
    }
  }

  key(line, place) {
    const key = el("button", { type: "button", className: `line-key tint--${line.tint}` }, strokeOf(line.dash, place), el("span", {}, line.label), " ");
    const now = el("b", { className: "line-key__now" });
    key.dataset.line = now.dataset.now = line.name;
    key.setAttribute("aria-pressed", String(!this.hidden.has(line.name)));
    key.append(now);
    return key;
  }

  fillTable() {
    if (this.table?.closest("details").open) this.table.replaceChildren(tableOf(this.lines(), AXES[this.look.axis].title));
  }
}

const pointed = (point) => ({ name: point.data.meta, index: point.pointIndex, x: point.x, y: point.y });

const limits = (change, axis) => (`${axis}.range[0]` in change ? [change[`${axis}.range[0]`], change[`${axis}.range[1]`]] : null);

/** Plotly reads a few tags in labels; a name shall stay a name. */
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("%{", "% {");

/** Round the band and back; on a logarithmic axis it cannot reach below the least positive value. */
function outline({ x, y, low, high }, log) {
  const floor = log ? Math.min(...y.filter((value) => value > 0)) : -Infinity;
  const bottom = Array.from(low, (value) => Math.max(value, floor));
  return { x: [...x, ...[...x].reverse()], y: [...high, ...bottom.reverse()] };
}

function strokeOf(dash, place) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 18 6");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", "M0 3h18");
  path.setAttribute("class", `dash--${dash ? DASHES.indexOf(dash) : place % DASHES.length}`);
  svg.append(path);
  return svg;
}
