/** The run page: reads what the page was built with, then follows the run. */

import { Charts } from "./charts.js";
import { byId, debounce, fetchJson } from "./dom.js";
import { Hub } from "./hub.js";
import { Parts } from "./parts.js";
import { Samples } from "./samples.js";
import { Scrubber } from "./scrubber.js";
import { RunSocket } from "./socket.js";
import { State } from "./state.js";
import { mountTabs } from "./tabs.js";

const MAX_POINTS = 600;
const config = JSON.parse(byId("run-config").textContent);
const { root } = config;

const charts = new Charts(config.groups, (step) => page.goTo(step));
const samples = new Samples(root, config.roles);
const page = new Hub(config);
const parts = new Parts(page);
const state = new State(page, () => parts.renew(new Set(["status"])));
const scrubber = new Scrubber(page);
page.goTo = (step) => scrubber.go(step);

async function loadSeries(position) {
  const { series, marks } = await fetchJson(`${root}series/`, { max_points: MAX_POINTS, up_to: position.after });
  charts.load(series, marks);
  scrubber.take(marks);
  showCurves();
}

function showCurves() {
  byId("curves-empty").hidden = charts.hasPoints;
  byId("curves").dataset.state = charts.hasPoints ? "drawn" : "waiting";
}

const reloadSeries = debounce(() => readAgain(), 200);

function takeEvents(events) {
  const rows = [];
  for (const event of events) {
    if (event.kind === "metric") {
      if (!charts.append(event.step, event.data.values)) reloadSeries();
    } else if (event.kind === "sample") {
      rows.push(event.data);
    } else if (event.mark) {
      charts.mark(event.mark);
      scrubber.add(event.mark);
    }
  }
  samples.add(rows);
  page.tell("events", events);
  showCurves();
}

/** After a later attempt rewrote events, or when too much was missed: read everything again and go on from there. */
async function readAgain() {
  socket.drop();
  try {
    const fresh = await fetchJson(`${root}state/`);
    await Promise.all([loadSeries(fresh.position), samples.search()]);
    state.take(fresh.state);
    page.tell("state", fresh.state);
    page.tell("again");
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
    page.tell("state", news);
    showLink("live", "Live");
  },
  onStale: readAgain,
  onLink: showLink,
});

page.on("state", () => scrubber.follows());
page.on("moment", (step) => {
  charts.showAt(step);
  samplesOf(step);
  if (step === null) state.vitals(state.state.vitals);
});
page.on("vitals", (vitals) => state.vitals(vitals));
const samplesOf = debounce((step) => samples.ofStep(step), 200);
byId("sample-step").addEventListener("click", () => scrubber.toNow());

byId("smoothing").addEventListener("input", (event) => {
  const weight = Number(event.target.value);
  byId("smoothing-value").textContent = weight ? weight.toFixed(2) : "off";
  charts.smoothBy(weight);
});
byId("reset-zoom").addEventListener("click", () => charts.resetZoom());

samples.load(config.samples);
mountTabs(byId("tabs"), (shown) => {
  parts.show(shown);
  page.tell("shown", shown);
});
showCurves();
scrubber.begin(config.at);
loadSeries(config.position).then(() => socket.open(), () => socket.again());
