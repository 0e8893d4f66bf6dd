/** When charts draw: only those that are dirty, in view and shown, at most four times a second, never in a hidden tab. */

import { onThemeChange } from "../js/theme.js";

const REDRAW_MS = 250;
const charts = new Map(); // the figure's element -> its chart
let timer = 0;
let drawnAt = -Infinity;

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) charts.get(entry.target)?.comesIntoView(entry.isIntersecting);
  drawSoon();
}, { rootMargin: "200px" });

onThemeChange(() => {
  for (const chart of charts.values()) chart.touch();
});
document.addEventListener("visibilitychange", drawSoon);

/** From now on `chart.draw()` is called when `chart.wantsDrawing` and its time has come. */
export function enrol(chart) {
  charts.set(chart.figure, chart);
  seen.observe(chart.figure);
}

export function retire(chart) {
  charts.delete(chart.figure);
  seen.unobserve(chart.figure);
}

/** Draw what is dirty at the next turn. */
export function drawSoon() {
  if (document.hidden || timer) return;
  timer = setTimeout(drawNow, Math.max(0, drawnAt + REDRAW_MS - performance.now()));
}

function drawNow() {
  timer = 0;
  drawnAt = performance.now();
  for (const chart of charts.values()) if (chart.wantsDrawing) chart.draw();
}
