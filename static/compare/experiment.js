/** The experiment's page: the curve of its seeds, and how they stand to what the experiment was made from. */

import { LineChart, chartFigure } from "../charts/line_chart.js";
import { fetchPart } from "../run/dom.js";
import { fetchLines } from "./lines.js";

const PIXELS = 600;
const root = document.getElementById("seeds");

async function mount() {
  root.replaceChildren(...(await fetchPart(root.dataset.url)));
  const place = root.querySelector("[data-seeds-chart]");
  if (!place) return;
  const config = JSON.parse(document.getElementById("seeds-config").textContent);
  const chart = new LineChart(chartFigure({ title: config.metric }));
  place.append(chart.figure);
  const found = await fetchLines(config.series, {
    run: config.lines.filter((line) => line.single).map((line) => line.key),
    arm: config.lines.filter((line) => !line.single).map((line) => line.key),
    metric: config.metric,
    pixels: PIXELS,
  });
  const answers = new Map(found.charts[0].lines.map((answer) => [answer.key, answer]));
  const lines = config.lines.filter((line) => answers.has(line.key));
  chart.show(lines.map((line) => ({ ...answers.get(line.key), name: line.key, label: line.label, tint: `series-${line.tint}`, dash: line.dash })));
}

mount();
