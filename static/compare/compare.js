/** The Compare page: charts of many runs that zoom and point together, with everything chosen kept in the address. */

import { newLook } from "../charts/line_chart.js";
import { announce } from "../js/shell.js";
import { debounce } from "../run/dom.js";
import { CompareChart } from "./compare_chart.js";
import { fetchLines, queryOf } from "./lines.js";
import { mountMetrics } from "./metrics.js";

const PIXELS_WIDE = 200;
const PIXELS_FEW = 600;
const FEW_LINES = 12;

const config = JSON.parse(document.getElementById("compare-config").textContent);
const form = document.getElementById("compare");
const place = form.querySelector("[data-charts]");
const words = form.querySelector("[data-chart-words]");
const reset = form.querySelector("[data-reset]");
const look = newLook();
const charts = new Map();
let asked = 0;

const drawnRuns = () => config.runs.filter((run) => form.querySelector(`[name="run"][value="${run.id}"]`).checked);
const metrics = () => [...form.querySelectorAll('[name="metric"]:checked')].map((box) => box.value);
const isByArm = () => form.querySelector('[name="by"]:checked').value !== "run";

/** What is drawn: a line for each run, or one for the chosen runs of each setting. */
function wantedLines() {
  const runs = drawnRuns();
  if (!isByArm()) return runs.map((run) => ({ ...run, key: run.id, ids: [run.id] }));
  return config.arms.flatMap((arm, index) => {
    const ids = runs.filter((run) => run.arm === index).map((run) => run.id);
    return ids.length ? [{ ...arm, key: ids.join(","), label: ids.length > 1 ? `${arm.label} (${ids.length} seeds)` : arm.label, ids }] : [];
  });
}

async function read() {
  const lines = wantedLines(), names = metrics(), turn = (asked += 1);
  arrange(names);
  if (!lines.length || !names.length) {
    words.textContent = lines.length ? "Choose a metric to draw." : "Choose a run to draw.";
    place.setAttribute("aria-busy", "false");
    for (const chart of charts.values()) chart.show([]);
    return;
  }
  const wide = lines.length > FEW_LINES;
  const zoomed = look.axis === "step" && look.zoom;
  const parameters = {
    run: lines.filter((line) => line.ids.length === 1).map((line) => line.ids[0]),
    arm: lines.filter((line) => line.ids.length > 1).map((line) => line.key),
    metric: names,
    x: look.axis,
    pixels: wide ? PIXELS_WIDE : PIXELS_FEW,
    from: zoomed ? Math.max(0, Math.floor(look.zoom[0])) : null,
    to: zoomed ? Math.max(0, Math.ceil(look.zoom[1])) : null,
  };
  const found = await fetchLines(config.series, parameters);
  if (turn !== asked) return;
  for (const { metric, lines: answers } of found.charts) {
    const byKey = new Map(answers.map((answer) => [answer.key, answer]));
    charts.get(metric)?.show(lines.filter((line) => byKey.has(line.key)).map((line) => described(line, byKey.get(line.key))));
  }
  tell(found.width, wide, lines);
  offerFiles(parameters);
  place.setAttribute("aria-busy", "false");
}

/** The very lines that are drawn, as files; and every point of the runs behind them. */
function offerFiles(parameters) {
  for (const link of document.querySelectorAll("[data-drawn]")) {
    link.href = `${config.export}?${queryOf({ ...parameters, form: link.dataset.drawn })}`;
    link.hidden = false;
  }
  for (const link of document.querySelectorAll("[data-points]")) {
    link.href = `${link.dataset.points}?${queryOf({ run: drawnRuns().map((run) => run.id), form: link.dataset.form })}`;
  }
}

function described(line, { x, y, low, high }) {
  return { name: line.key, ids: line.ids, label: line.label, tint: `series-${line.tint}`, dash: line.dash, x, y, low, high };
}

function tell(width, wide, lines) {
  const parts = [width > 1 ? `Each place is the mean of ${width} steps.` : "Every step is drawn."];
  if (lines.some((line) => line.ids.length > 1)) parts.push("Seeds of one setting are one line: their mean over all points, with a band of one standard deviation.");
  if (wide) parts.push(`With ${FEW_LINES} lines or fewer, bands show the lowest and the highest.`);
  else if (width > 1) parts.push("A band round a single run shows its lowest and highest values there.");
  words.textContent = parts.join(" ");
}

/** The list of runs is the legend: each run in the colour of the line it is drawn by. */
function colourLegend() {
  for (const run of config.runs) {
    const item = form.querySelector(`[data-run="${run.id}"]`);
    const { tint, dash } = isByArm() ? config.arms[run.arm] : run;
    item.className = `legend__item tint--series-${tint}`;
    item.querySelector(".dash").setAttribute("class", `dash dash--${dash}`);
  }
}

/** One chart for each metric, in the order of the list. */
function arrange(names) {
  for (const [name, chart] of charts) {
    if (names.includes(name)) continue;
    chart.destroy();
    chart.figure.remove();
    charts.delete(name);
  }
  for (const name of names) {
    if (!charts.has(name)) charts.set(name, new CompareChart(name, { look, onZoom: zoomed, onPoint: point }));
    place.append(charts.get(name).figure);
  }
}

const readSoon = debounce(() => read().catch(failed), 200);

function failed(error) {
  place.setAttribute("aria-busy", "false");
  words.textContent = "The curves could not be read. They are asked for again when you change something.";
  throw error;
}

function zoomed(range) {
  reset.hidden = !range;
  for (const chart of charts.values()) chart.touch();
  readSoon();
}

/** Where the pointer is in one chart shows in all. */
function point(x) {
  for (const chart of charts.values()) chart.guide(x);
}

/** The address says what is chosen, so that it can be sent and saved. */
function keepAddress() {
  const query = new URLSearchParams();
  const chosen = new Set(drawnRuns().map((run) => run.id));
  for (const run of config.runs) query.append(chosen.has(run.id) ? "run" : "aside", run.id);
  if (chosen.size === config.runs.length) query.append("all", "1");
  for (const name of metrics()) query.append("metric", name);
  if (look.axis !== "step") query.append("x", look.axis);
  if (look.smoothing) query.append("smooth", String(look.smoothing));
  if (!isByArm()) query.append("by", "run");
  for (const name of ["judge", "end", "base"]) query.append(name, form.elements[name].value);
  history.replaceState(null, "", `?${query}`);
  return query;
}

/** What the server works out anew: verdicts, figures and differences of what is chosen now. */
function reload() {
  location.assign(`?${keepAddress()}`);
}

form.addEventListener("change", (event) => {
  const { target } = event;
  if (target.matches("[data-reload]")) return reload();
  if (target.name === "x") {
    look.axis = target.value;
    look.zoom = null;
    reset.hidden = true;
  }
  if (target.name === "run") stale.hidden = false;
  if (target.name === "by") colourLegend();
  keepAddress();
  if (["run", "metric", "by", "x"].includes(target.name)) readSoon();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.submitter?.matches("[data-show-all]")) for (const box of form.querySelectorAll('[name="run"]')) box.checked = true;
  reload();
});
form.querySelector("[data-smoothing]").addEventListener("input", (event) => {
  look.smoothing = Number(event.target.value);
  for (const chart of charts.values()) chart.touch();
});
reset.addEventListener("click", () => {
  look.zoom = null;
  for (const chart of charts.values()) chart.zoomY = null;
  zoomed(null);
});

const legend = form.querySelector("[data-legend-runs]");
const pointAt = (run) => {
  place.classList.toggle("is-pointing", Boolean(run));
  for (const chart of charts.values()) chart.pointAt(run);
};
for (const [type, leaves] of [["pointerover", false], ["focusin", false], ["pointerleave", true], ["focusout", true]]) {
  legend.addEventListener(type, (event) => pointAt(leaves ? null : event.target.closest("[data-run]")?.dataset.run ?? null));
}

document.addEventListener("submit", () => {
  for (const query of document.querySelectorAll("[data-query]")) query.value = location.search.slice(1);
}, { capture: true });
for (const button of document.querySelectorAll("[data-without-script]")) button.hidden = true;
const stale = form.querySelector("[data-stale]");
stale.querySelector("button").addEventListener("click", reload);
look.axis = config.x;
look.smoothing = config.smoothing;
mountMetrics(form, announce);
read().catch(failed);
