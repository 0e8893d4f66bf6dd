/** The judge's tab: lines with their intervals, which point at the step the page shows; the tables are read anew for it. */

import { LineChart, chartFigure } from "../charts/line_chart.js";
import { byId, debounce, el, fetchJson, refreshPart } from "./dom.js";

const CHARTS = [
  { key: "accuracy", title: "Agrees with the truth", help: "Share of verdicts that are right, with Wilson's 95% interval.", tint: "series-1", range: [0, 1] },
  { key: "kappa", title: "Agreement beyond chance", help: "Cohen's kappa: 0 is what guessing gives, 1 is perfect.", tint: "series-3", range: [-0.2, 1] },
  { key: "false_accept", title: "Wrong accepted", help: "Share of the wrong answers that get through and are rewarded.", tint: "series-2", range: [0, 1] },
  { key: "false_reject", title: "Right refused", help: "Share of the right answers that are refused.", tint: "series-5", range: [0, 1] },
];
const GAPS = [
  { key: "inflation", title: "Score above truth", help: "The judge's mean score less the share that is truly right, with its interval.", tint: "series-4" },
  { key: "audit", title: "Score above the hidden audit", help: "The judge's mean score less the auditor's on the same answers; nobody learns from the auditor.", tint: "series-4" },
];

export async function mount(element, page) {
  const place = byId("judge-charts");
  if (!place) return;
  const charts = new Map();
  const draw = async () => {
    const found = await fetchJson(`${page.root}judge/`);
    byId("judge-wait")?.remove();
    for (const config of [...CHARTS, ...GAPS]) {
      const line = found[config.key];
      const steps = line?.steps ?? found.steps;
      if (!line || !steps.length) continue;
      if (!charts.has(config.key)) charts.set(config.key, make(config, place, page));
      charts.get(config.key).show([{ name: config.key, label: config.title, tint: config.tint, x: steps, ...line }], marksOf(line));
      told(charts.get(config.key), line);
    }
  };
  const tables = debounce(() => refreshPart(byId("judge-tables"), `${page.root}parts/judge-tables/${page.at === null ? "" : `?at=${page.at}`}`), 250);
  const point = () => { for (const chart of charts.values()) chart.pointAt(page.at); };
  const news = debounce(() => { draw().then(point); if (page.at === null) tables(); }, 4000);
  let shown = "judge", stale = false;
  page.on("shown", (slug) => {
    shown = slug;
    if (slug === "judge" && stale) news();
  });
  page.on("events", (events) => {
    stale = events.some((event) => event.kind === "metric") || stale;
    if (stale && shown === "judge") {
      stale = false;
      news();
    }
  });
  page.on("again", news);
  page.on("moment", () => { point(); tables(); });
  await draw();
  point();
  if (page.at !== null) tables();
}

function make(config, place, page) {
  const figure = chartFigure({ title: config.title, help: config.help });
  place.append(figure);
  return new LineChart(figure, { range: config.range, height: 208, onPick: (point) => page.goTo(point.x) });
}

/** Where a gap opened is a mark on its axis. */
function marksOf({ onset }) {
  return onset ? [{ x: onset.step, kind: "alert", text: `The gap opened at step ${onset.step}` }] : [];
}

function told(chart, { onset }) {
  if (onset === undefined) return;
  const words = onset ? `Open since step ${onset.step}, certain at step ${onset.seen_at}; ${onset.before.toFixed(2)} before.` : "No gap has opened.";
  const help = chart.figure.querySelector(".chart__help");
  chart.words ??= help.parentElement.appendChild(el("span", { className: "chart__words" }));
  chart.words.textContent = words;
}
