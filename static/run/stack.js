/** A chart whose series add up: bars while there are few steps, areas later, and in words what takes most lately. */

import { AXES, placeOf } from "../charts/axes.js";
import { markTrace } from "../charts/marks.js";
import { smooth } from "../charts/smoothing.js";
import { tableOf } from "../charts/table.js";
import { token } from "../js/theme.js";
import { Chart } from "./chart.js";
import { el, figure } from "./dom.js";

const FEW_STEPS = 60;
const RECENT = 10;
const WORTH_A_WORD = 0.05;
const MOST_WORDS = 4;

export class Stack extends Chart {
  hoverFormat = "%{y:.3~g} s";
  mostBars = FEW_STEPS;
  addsUp = true;
  steps = [];

  constructor(config, all) {
    super(config, all);
    this.split = this.figure.querySelector("[data-split]");
    this.words = this.figure.querySelector("[data-words]");
  }

  /** The series that have points, on common steps; a remainder holds what its parts leave of the whole. */
  get parts() {
    const lines = this.config.series.map((series) => [series, this.all.line(series.name)]).filter(([, line]) => line.steps.length);
    this.steps = [...new Set(lines.flatMap(([, line]) => line.steps))].sort((a, b) => a - b);
    const x = this.steps.map((step) => this.all.xOf(step));
    const places = new Map(this.steps.map((step, place) => [step, place]));
    const found = new Map();
    for (const [series, line] of lines) {
      const values = new Array(this.steps.length).fill(0);
      line.steps.forEach((step, index) => { values[places.get(step)] = line.y[index] ?? 0; });
      found.set(series.name, values);
    }
    return lines.map(([series]) => {
      const inside = (series.rest?.parts ?? []).filter((name) => found.has(name)).map((name) => found.get(name));
      const values = found.get(series.name).map((whole, place) => Math.max(0, whole - sum(inside.map((part) => part[place]))));
      return { ...series, label: series.rest && !inside.length ? series.rest.whole : series.label, x, y: values };
    });
  }

  stepAt({ index }) {
    return this.steps[index];
  }

  fillTable() {
    if (this.table.closest("details").open) this.table.replaceChildren(tableOf(this.parts, AXES[this.look.axis].title));
  }

  traces() {
    const parts = this.parts.filter((part) => !this.hidden.has(part.name));
    const smoothed = parts.map((part) => smooth(part.y, this.look.smoothing));
    const few = this.steps.length <= this.mostBars;
    const edge = { width: 0.75, color: token("--sheet") };
    const traces = parts.map((part, place) => {
      const colour = token(`--${part.tint}`);
      const base = { x: part.x, y: smoothed[place], meta: part.name, hovertemplate: `${part.label}: ${this.hoverFormat}<extra></extra>` };
      if (few) return { ...base, type: "bar", marker: { color: colour, line: edge } };
      return { ...base, type: "scatter", mode: "lines", stackgroup: "parts", fillcolor: colour, line: edge };
    });
    const totals = this.steps.map((_, place) => sum(smoothed.map((values) => values[place])));
    if (this.addsUp) traces.push({ type: "scatter", mode: "lines", x: parts[0]?.x ?? [], y: totals, line: { width: 0 }, hovertemplate: `Together: ${this.hoverFormat}<extra></extra>` });
    if (this.all.marks.length) traces.push(markTrace(this.all.marks));
    return traces;
  }

  layout() {
    const layout = super.layout();
    return { ...layout, barmode: "stack", bargap: 0.12, yaxis: { ...layout.yaxis, type: "linear", rangemode: "tozero" } };
  }

  /** Beside each name its recent seconds; above the chart one bar and a sentence that say the same. */
  fillLegend() {
    const recent = this.parts.map((part) => ({ ...part, recent: mean(this.lately(part.y)) }));
    const total = sum(recent.map((part) => part.recent));
    for (const key of this.figure.querySelectorAll("[data-line]")) {
      const part = recent.find((one) => one.name === key.dataset.line);
      key.closest("li").hidden = !part;
      if (!part) continue;
      key.querySelector("[data-label]").textContent = part.label;
      key.querySelector("[data-now]").textContent = this.told(part.recent);
    }
    this.split.replaceChildren(...recent.map((part) => {
      const piece = el("span", { className: `split__part tint--${part.tint}` });
      piece.style.flexGrow = Math.max(0, part.recent);
      return piece;
    }));
    this.words.textContent = total > 0 ? this.sentence(recent, total) : "";
  }

  /** The last steps before the one that is read. */
  lately(values) {
    const { reading } = this.all;
    const end = reading === null ? values.length : placeOf(this.steps, reading + 1);
    return values.slice(Math.max(0, end - RECENT), end);
  }

  told(value) {
    return seconds(value);
  }

  sentence(recent, total) {
    const most = recent.filter((part) => part.recent / total >= WORTH_A_WORD).sort((a, b) => b.recent - a.recent).slice(0, MOST_WORDS);
    const told = most.map((part) => `${percent(part.recent / total)} ${part.label.toLowerCase()}`);
    const others = total - sum(most.map((part) => part.recent));
    if (others / total >= 0.005) told.push(`${percent(others / total)} everything else`);
    const takes = this.config.overlaps ? `a step held ${seconds(total)} of work, of which play runs beside the update` : `a step took ${seconds(total)}`;
    return `Lately ${takes}: ${told.join(", ")}.`;
  }
}

export const sum = (values) => values.reduce((total, value) => total + value, 0);
export const mean = (values) => (values.length ? sum(values) / values.length : 0);
const seconds = (value) => (value < 0.0995 ? `${Math.round(1000 * value)} ms` : `${figure(Number(value.toPrecision(2)))} s`);
export const percent = (share) => `${Math.round(100 * share)}%`;
