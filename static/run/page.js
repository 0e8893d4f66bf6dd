/** The run page: reads what the page was built with, then follows the run. */

import { Charts } from "./charts.js";
import { byId, debounce, fetchJson, refreshPart } from "./dom.js";
import { Log } from "./log.js";
import { Samples } from "./samples.js";
import { RunSocket } from "./socket.js";
import { State } from "./state.js";
import { mountTabs } from "./tabs.js";

const MAX_POINTS = 600;
const config = JSON.parse(byId("run-config").textContent);
const { root } = config;

const charts = new Charts(config.groups, (step) => samples.ofStep(step));
const samples = new Samples(root, config.roles);
const log = new Log(root);
const state = new State(root, config.state);
const refreshSoon = {
  evaluation: debounce(() => refreshPart(byId("evaluation-part"), `${root}parts/evaluation/`), 400),
  checkpoint: debounce(() => refreshPart(byId("checkpoints-part"), `${root}parts/checkpoints/`), 400),
};

async function loadSeries(position) {
  const { series, marks } = await fetchJson(`${root}series/`, { max_points: MAX_POINTS, up_to: position.after });
  charts.load(series, marks);
  showCurves();
}

function showCurves() {
  byId("curves-empty").hidden = charts.hasPoints;
  byId("curves").dataset.state = charts.hasPoints ? "drawn" : "waiting";
}

const reloadSeries = debounce(() => readAgain(), 200);

function takeEvents(events) {
  const rows = [], lines = [];
  for (const event of events) {
    if (event.kind === "metric") {
      if (!charts.append(event.step, event.data.values)) reloadSeries();
    } else if (event.kind === "sample") {
      rows.push(event.data);
    } else if (event.kind === "log" || event.kind === "state") {
      lines.push({ ...event.data, level: event.data.level ?? "state", seq: event.seq, step: event.step, t: event.t });
    } else {
      refreshSoon[event.kind]?.();
      if (event.kind === "checkpoint") charts.mark({ step: event.step, kind: "checkpoint", text: "Checkpoint" });
    }
  }
  samples.add(rows);
  log.add(lines);
  showCurves();
}

/** After a later attempt rewrote events, or when too much was missed: read everything again and go on from there. */
async function readAgain() {
  socket.drop();
  try {
    const fresh = await fetchJson(`${root}state/`);
    await Promise.all([loadSeries(fresh.position), samples.search(), log.search()]);
    state.take(fresh.state);
    refreshSoon.evaluation();
    refreshSoon.checkpoint();
    socket.resume(fresh.position);
  } catch {
    socket.again();
  }
}

function showLink(link, words) {
  byId("link").dataset.link = link;
  byId("link-word").textContent = link === "live" && !state.state.is_live ? "Up to date" : words;
}

const socket = new RunSocket(root, config.position, {
  onEvents: takeEvents,
  onState(news) {
    state.take(news);
    showLink("live", "Live");
  },
  onStale: readAgain,
  onLink: showLink,
});

byId("smoothing").addEventListener("input", (event) => {
  const weight = Number(event.target.value);
  byId("smoothing-value").textContent = weight ? weight.toFixed(2) : "off";
  charts.smoothBy(weight);
});
for (const view of document.getElementsByName("live-view")) view.addEventListener("change", () => charts.redraw());
byId("reset-zoom").addEventListener("click", () => {
  for (const chart of charts.charts) chart.zoomY = null;
  charts.zoomTo(null);
});

samples.load(config.samples);
log.load(config.log, config.log.length >= 200 ? config.log.at(-1).seq : null);
mountTabs(byId("tabs"), (shown) => {
  if (shown === "live") requestAnimationFrame(() => charts.redraw());
  if (shown === "log") log.toEnd();
});
showCurves();
loadSeries(config.position).then(() => socket.open(), () => socket.again());
