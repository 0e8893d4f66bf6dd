/** One chart: lines over the steps, a legend that tells the newest values, and a table of the same. */

import { token } from "../js/theme.js";
import { el, figure } from "./dom.js";
import { smooth } from "./smoothing.js";

const FEW_POINTS = 40;
const TABLE_ROWS = 200;
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
const CONFIG = { displayModeBar: false, responsive: true, doubleClick: "reset", showTips: false };

export class Chart {
  constructor(config, all) {
    this.config = config;
    this.all = all;
    this.figure = document.getElementById(config.id);
    this.figure.chart = this;
    this.plot = this.figure.querySelector("[data-plot]");
    this.table = this.figure.querySelector("[data-table]");
    this.hidden = new Set();
    this.zoomY = null;
    this.revision = 0;
    this.dirty = true;
    this.inView = false;
    for (const key of this.figure.querySelectorAll("[data-line]")) key.addEventListener("click", () => this.toggle(key));
    const details = this.table.closest("details");
    details.addEventListener("toggle", () => this.fillTable());
  }

  get isShown() {
    return this.figure.offsetParent !== null;
  }

  /** A chart on demand stays away until it has something to tell. */
  appear() {
    const { config, all } = this;
    this.figure.hidden = config.on_demand && !config.series.some((series) => all.lines.get(series.name)?.values.some(Boolean));
  }

  draws(values) {
    return this.config.series.some((line) => line.name in values);
  }

  toggle(key) {
    const name = key.dataset.line;
    if (!this.hidden.delete(name)) this.hidden.add(name);
    key.setAttribute("aria-pressed", String(!this.hidden.has(name)));
    this.dirty = true;
    this.all.redraw();
  }

  draw() {
    this.dirty = false;
    const first = !this.plot.classList.contains("js-plotly-plot");
    window.Plotly.react(this.plot, this.traces(), this.layout(), CONFIG);
    if (first) this.listen();
    this.fillKeys();
    this.fillTable();
  }

  listen() {
    this.plot.on("plotly_relayout", (change) => {
      if ("xaxis.range[0]" in change) {
        if ("yaxis.range[0]" in change) this.zoomY = [change["yaxis.range[0]"], change["yaxis.range[1]"]];
        this.all.zoomTo([change["xaxis.range[0]"], change["xaxis.range[1]"]]);
      } else if ("yaxis.range[0]" in change) {
        this.zoomY = [change["yaxis.range[0]"], change["yaxis.range[1]"]];
        this.all.zoomTo(this.all.zoom);
      } else if (change["xaxis.autorange"] || change["yaxis.autorange"]) {
        this.zoomY = null;
        this.all.zoomTo(null);
      }
    });
    this.plot.on("plotly_click", (event) => {
      const step = event.points?.[0]?.x;
      if (Number.isFinite(step)) this.all.onPick(step);
    });
  }

  traces() {
    const traces = [];
    this.config.series.forEach((series, place) => {
      const line = this.all.lines.get(series.name);
      if (!line || this.hidden.has(series.name)) return;
      const colour = token(`--${series.tint}`);
      const few = line.steps.length <= FEW_POINTS;
      const base = { type: "scatter", x: line.steps, mode: few ? "lines+markers" : "lines", marker: { size: 4 } };
      const style = { color: colour, width: 1.75, dash: DASHES[place % DASHES.length] };
      if (this.all.smoothing) {
        traces.push({ ...base, y: line.values, line: { ...style, width: 1 }, opacity: 0.28, hoverinfo: "skip" });
      }
      traces.push({
        ...base,
        y: smooth(line.values, this.all.smoothing),
        line: style,
        hovertemplate: `${series.label}: %{y:.4~g}<extra></extra>`,
      });
    });
    if (this.all.marks.length) traces.push(this.markTrace());
    return traces;
  }

  markTrace() {
    const { marks } = this.all;
    return {
      type: "scatter",
      mode: "markers",
      x: marks.map((mark) => mark.step),
      y: marks.map(() => 0.03),
      yaxis: "y2",
      text: marks.map((mark) => mark.text),
      hovertemplate: "%{text}<extra></extra>",
      marker: {
        size: 6,
        symbol: marks.map((mark) => (mark.kind === "restart" ? "triangle-right" : "diamond")),
        color: marks.map((mark) => token(mark.kind === "restart" ? "--warn" : "--ink-faint")),
      },
    };
  }

  layout() {
    const [ink, line, strong] = [token("--ink-faint"), token("--line"), token("--line-strong")];
    const axis = { gridcolor: line, linecolor: strong, zerolinecolor: line, tickcolor: strong, automargin: true };
    const range = this.zoomY ?? (this.config.range && padded(this.config.range));
    return {
      height: 208,
      margin: { l: 38, r: 10, t: 6, b: 30 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 11, color: ink },
      showlegend: false,
      hovermode: "x unified",
      hoverlabel: { bgcolor: token("--sheet"), bordercolor: strong, font: { color: token("--ink"), size: 12 } },
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      uirevision: "held by the page",
      datarevision: (this.revision += 1), // the arrays grow in place, which Plotly would not notice
      xaxis: { ...axis, showgrid: false, unifiedhovertitle: { text: "Step %{x}" }, title: { text: "step", standoff: 4 }, ...ranged(this.all.zoom) },
      yaxis: { ...axis, ...ranged(range) },
      yaxis2: { overlaying: "y", range: [0, 1], visible: false, fixedrange: true },
    };
  }

  /** The newest value beside each name: the chart's news without hovering. */
  fillKeys() {
    for (const now of this.figure.querySelectorAll("[data-now]")) {
      now.textContent = figure(this.all.lines.get(now.dataset.now)?.values.at(-1));
    }
  }

  tableLines() {
    return this.config.series.map((series) => ({ ...series, ...(this.all.lines.get(series.name) ?? { steps: [], values: [] }) }));
  }

  fillTable() {
    if (!this.table.closest("details").open) return;
    const lines = this.tableLines();
    const rows = new Map();
    lines.forEach((line, place) => line.steps.forEach((step, index) => {
      if (!rows.has(step)) rows.set(step, []);
      rows.get(step)[place] = line.values[index];
    }));
    const steps = [...rows.keys()].sort((a, b) => b - a).slice(0, TABLE_ROWS);
    const head = el("tr", {}, el("th", { scope: "col" }, "Step"), ...lines.map((line) => el("th", { scope: "col", className: "num" }, line.label)));
    const body = steps.map((step) => el("tr", {}, el("th", { scope: "row" }, String(step)), ...lines.map((_, place) => el("td", { className: "num" }, figure(rows.get(step)[place])))));
    this.table.replaceChildren(el("table", { className: "table table--dense" }, el("thead", {}, head), el("tbody", {}, ...body)));
  }
}

function padded([low, high]) {
  const pad = (high - low) * 0.04;
  return [low - pad, high + pad];
}

function ranged(range) {
  return range ? { range: [...range], autorange: false } : { autorange: true };
}
