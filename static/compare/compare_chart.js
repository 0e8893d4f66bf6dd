/** A line chart among others: no legend of its own, it shows where the pointer is in its neighbours, and lets one line stand out. */

import { LineChart, chartFigure } from "../charts/line_chart.js";
import { el } from "../run/dom.js";

const MANY = 12;

export class CompareChart extends LineChart {
  constructor(metric, options) {
    const figure = chartFigure({ title: metric });
    figure.querySelector("[data-legend]").remove();
    figure.dataset.metric = metric;
    super(figure, options);
    this.pointed = null;
  }

  /** Naming every line at the pointer would cover the chart where there are many. */
  layout() {
    const layout = super.layout();
    if (this.lines().length > MANY) layout.hovermode = "closest";
    return layout;
  }

  draw() {
    super.draw();
    this.keep ??= el("div", { className: "chart-guide", hidden: true });
    if (!this.keep.isConnected) this.plot.append(this.keep);
    this.pointAt(this.pointed);
  }

  listen() {
    super.listen();
    this.plot.on("plotly_hover", (event) => this.options.onPoint(event.xvals?.[0] ?? event.points?.[0]?.x ?? null));
    this.plot.on("plotly_unhover", () => this.options.onPoint(null));
  }

  /** A line across the drawing at `x`, as the chart under the pointer says it. */
  guide(x) {
    const axes = this.plot._fullLayout;
    if (!this.keep || !axes?.xaxis) return;
    const at = x === null ? NaN : axes.xaxis.l2p(x);
    this.keep.hidden = !(at >= 0 && at <= axes.xaxis._length);
    if (this.keep.hidden) return;
    this.keep.style.left = `${axes.xaxis._offset + at}px`;
    this.keep.style.top = `${axes.yaxis._offset}px`;
    this.keep.style.height = `${axes.yaxis._length}px`;
  }

  /** Let the line of a run stand out; null for none. */
  pointAt(run) {
    this.pointed = run;
    const traces = this.plot.querySelectorAll(".scatterlayer > .trace");
    const drawn = this.plot._fullData?.filter((trace) => trace.visible === true) ?? [];
    const lines = new Map(this.lines().map((line) => [line.name, line.ids]));
    traces.forEach((node, index) => node.classList.toggle("is-pointed", Boolean(lines.get(drawn[index]?.meta)?.includes(run))));
  }
}
