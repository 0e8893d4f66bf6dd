/** The lines of a run as they were read, on the axis they are drawn on, growing with what the run says. */

import { AXES, interpolate } from "../charts/axes.js";
import { linesOf } from "../charts/wire.js";

export const COUNTED = { tokens: "tokens/sampled_total", questions: "questions/asked_total" };
const NONE = { steps: [], x: [], y: [] };

export class Lines {
  constructor(answer, axis) {
    const { lines, along } = linesOf(answer);
    this.axis = axis;
    this.along = along;
    if (along && AXES[axis].from) along.x = along.x.map(AXES[axis].from);
    this.byName = new Map(lines.map((line) => [line.name, axis === "step" ? line : { ...line, x: line.steps.map((step) => this.xOf(step)) }]));
  }

  get(name) {
    return this.byName.get(name) ?? NONE;
  }

  get hasPoints() {
    return [...this.byName.values()].some((line) => line.steps.length > 0);
  }

  /** Whether the run tells where its steps lie on the axis. */
  get hasAxis() {
    return this.axis === "step" || this.along.x.length > 0;
  }

  xOf(step) {
    return this.axis === "step" ? step : interpolate(this.along.steps, this.along.x, step);
  }

  stepOf(x) {
    return this.axis === "step" ? x : interpolate(this.along.x, this.along.steps, x);
  }

  /** Add a step's values; gives the length of the longest line that grew. */
  append({ step, t, data: { values } }) {
    if (this.along) {
      const x = this.axis === "time" ? AXES.time.from(t - this.along.start) : (values[COUNTED[this.axis]] ?? this.along.x.at(-1) ?? 0);
      this.along.steps.push(step);
      this.along.x.push(x);
    }
    let longest = 0;
    for (const [name, value] of Object.entries(values)) {
      const line = this.byName.get(name);
      if (!line) continue;
      line.steps.push(step);
      if (line.x !== line.steps) line.x.push(this.along.x.at(-1));
      line.y.push(value);
      line.low?.push(value);
      line.high?.push(value);
      line.newest = value ?? line.newest;
      longest = Math.max(longest, line.steps.length);
    }
    return longest;
  }
}
