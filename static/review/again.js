/** The curves of answers that were graded again, beside what they were. */

import { LineChart, chartFigure } from "../charts/line_chart.js";
import { byId } from "../run/dom.js";

function draw() {
  const place = byId("regraded-charts");
  const source = byId("regraded-curves");
  if (!place || place.dataset.drawn) return;
  place.dataset.drawn = "yes";
  const rows = JSON.parse(source.textContent);
  const x = rows.map((row) => row.step);
  const line = (name, label, tint, key) => ({ name, label, tint, x, y: rows.map((row) => row[key] ?? null) });
  show(place, "The judge's value", [
    line("judge/was", "As it was", "series-1", "was"),
    line("judge/would", "Graded again", "series-2", "would"),
  ]);
  if (rows.some((row) => row.reward !== undefined)) {
    show(place, "Reward of the answers", [
      line("reward/was", "As it was", "series-1", "reward"),
      line("reward/would", "As it would have been", "series-2", "reward_would"),
    ]);
  }
}

function show(place, title, lines) {
  const chart = new LineChart(chartFigure({ title }), {});
  place.append(chart.figure);
  chart.show(lines);
}

draw();
document.addEventListener("htmx:after:swap", draw);
