/** The run page: reads what the page was built with, then follows the run. */

import { Charts } from "./charts.js";
import { byId, debounce, fetchJson } from "./dom.js";
import { Hub } from "./hub.js";
import { keepInAddress, mountLooks } from "./looks.js";
import { Parts } from "./parts.js";
import { Samples } from "./samples.js";
import { Scrubber } from "./scrubber.js";
import { Remarks } from "./remarks.js";
import { RunSocket } from "./socket.js";
import { State } from "./state.js";
import { mountTabs } from "./tabs.js";
import { Ward } from "./ward.js";

const config = JSON.parse(byId("run-config").textContent);
const { root } = config;
let { position } = config;

const charts = new Charts(config.groups, {
  read: (parameters) => fetchJson(`${root}series/`, { ...parameters, up_to: position.after }),
  onPick: (step, name) => {
    page.goTo(step);
    remarks.pick(name, step);
  },
  onLook: () => keepInAddress(charts),
});
const showAsAsked = mountLooks(charts);
const samples = new Samples(root, config.roles);
const page = new Hub(config);
const parts = new Parts(page);
const state = new State(page, () => parts.renew(new Set(["status"])));
const scrubber = new Scrubber(page);
const remarks = new Remarks(page, charts);
page.goTo = (step) => scrubber.go(step);
const ward = new Ward(page, (alerts) => {
  charts.alert(alerts);
  scrubber.alert(alerts);
});

function showCurves() {
  byId("curves-empty").hidden = charts.hasPoints;
  byId("curves").dataset.state = charts.hasPoints ? "drawn" : "waiting";
}

const reloadSeries = debounce(() => readAgain(), 200);

function takeEvents(events) {
  const rows = [];
  position = { after: events.at(-1).seq, attempt: events.at(-1).attempt };
  for (const event of events) {
    if (event.kind === "metric") {
      if (!charts.append(event)) reloadSeries();
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
    ({ position } = fresh);
    await Promise.all([charts.load(), samples.search()]);
    scrubber.take(charts.marked);
    showCurves();
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

samples.load(config.samples, config.kinds);
mountTabs(byId("tabs"), (shown) => {
  parts.show(shown);
  page.tell("shown", shown);
});
showCurves();
scrubber.begin(config.at);
charts.load().then(() => {
  showCurves();
  showAsAsked();
  scrubber.take(charts.marked);
  socket.open();
}, () => socket.again()).finally(() => ward.look());
