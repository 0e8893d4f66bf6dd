/** A chart of the run page: draws the run's lines it is about, in the units and the zoom all charts share. */

import { placeOf } from "../charts/axes.js";
import { LineChart } from "../charts/line_chart.js";
import { remarkTrace } from "../charts/marks.js";
import { byId } from "./dom.js";

export class Chart extends LineChart {
  constructor(config, all) {
    super(byId(config.id), {
      look: all.look,
      range: config.range,
      onZoom: (range) => all.zoomed(range),
      onPick: (point) => all.onPick(this.stepAt(point), point.name),
      onHover: (point) => all.hover(point === null ? null : this.stepAt(point)),
    });
    this.config = config;
    this.all = all;
  }

  get wantsDrawing() {
    if (this.dirty && this.figure.hidden) this.appear();
    return super.wantsDrawing;
  }

  /** A chart on demand stays away until it has something to tell. */
  appear() {
    const { config, all } = this;
    this.figure.hidden = config.on_demand && !config.series.some((series) => all.line(series.name).y.some(Boolean));
  }

  draws(values) {
    return this.config.series.some((line) => line.name in values);
  }

  stepAt({ name, index }) {
    return this.all.line(name).steps[index];
  }

  lines() {
    return this.config.series.map((series) => {
      const line = this.all.line(series.name);
      return { ...line, ...series, ...this.bandOf(series, line), newest: this.newestOf(series.name, line) };
    });
  }

  /** Between which values the line is spread, where the run tells. */
  bandOf({ band }, line) {
    const [low, high] = (band ?? []).map((name) => this.all.line(name));
    if (!low?.steps.length || !high?.steps.length) return {};
    const along = (edge) => line.steps.map((step) => edge.y[Math.min(placeOf(edge.steps, step), edge.y.length - 1)]);
    return { low: along(low), high: along(high) };
  }

  /** What the legend tells: the newest value, or that of the step the page shows or the pointer is at; a zoom holds only a part of the line. */
  newestOf(name, line) {
    const { reading } = this.all;
    const whole = this.all.all.get(name);
    if (reading === null) return whole.newest ?? whole.y.at(-1) ?? null;
    const from = line.steps[0] <= reading && reading <= line.steps.at(-1) ? line : whole;
    return from.y[placeUpTo(from.steps, reading)] ?? null;
  }

  /** Where a step lies on the horizontal axis. */
  placed(step) {
    return step === null ? null : this.all.xOf(step);
  }

  follow() {
    this.pointAt(this.placed(this.all.at));
    this.hoverAt(this.placed(this.all.hovered));
    if (this.inView && this.plot.classList.contains("js-plotly-plot")) this.fillLegend();
  }

  draw() {
    this.cursors.point = this.placed(this.all.at);
    super.draw();
  }

  marks() {
    return this.all.marks;
  }

  traces() {
    const seen = this.config.series.map((line) => line.name).filter((name) => !this.hidden.has(name));
    const said = this.all.remarksOn(seen);
    return said.length ? [...super.traces(), remarkTrace(said)] : super.traces();
  }
}

/** The last place at or before a step; -1 where there is none. */
function placeUpTo(steps, step) {
  return placeOf(steps, step + 1) - 1;
}
