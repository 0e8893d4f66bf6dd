/** A chart of the run page: draws the run's lines it is about, in the units and the zoom all charts share. */

import { LineChart } from "../charts/line_chart.js";
import { byId } from "./dom.js";

export class Chart extends LineChart {
  constructor(config, all) {
    super(byId(config.id), {
      look: all.look,
      range: config.range,
      onZoom: (range) => all.zoomed(range),
      onPick: (point) => all.onPick(this.stepAt(point)),
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
    this.figure.hidden = config.on_demand && !config.series.some((series) => all.lines.get(series.name)?.y.some(Boolean));
  }

  draws(values) {
    return this.config.series.some((line) => line.name in values);
  }

  stepAt({ name, index }) {
    return this.all.lines.get(name).steps[index];
  }

  lines() {
    return this.config.series.map((series) => ({ ...(this.all.lines.get(series.name) ?? NONE), ...series }));
  }

  marks() {
    return this.all.marks;
  }
}

const NONE = { steps: [], x: [], y: [] };
