/** Shares of a whole over the steps, as a river, with what it carries lately in words. */

import { Stack, percent } from "./stack.js";

export class River extends Stack {
  hoverFormat = "%{y:.0%}";
  mostBars = 0;
  addsUp = false;

  told(value) {
    return percent(value);
  }

  layout() {
    const layout = super.layout();
    return { ...layout, yaxis: { ...layout.yaxis, range: [0, 1], autorange: false, tickformat: ".0%" } };
  }

  sentence(recent) {
    const told = recent.filter((part) => part.recent >= 0.005).sort((a, b) => b.recent - a.recent);
    return told.length ? `Lately ${told.map((part) => `${percent(part.recent)} ${part.label.toLowerCase()}`).join(", ")}.` : "";
  }
}
