/** Smoothing, logarithmic values, what the horizontal axis counts and the zoom, kept in the page's address. */

import { AXES } from "../charts/axes.js";
import { byId } from "./dom.js";

/** Wires the controls above the charts; gives what to do once the charts have been read first. */
export function mountLooks(charts) {
  const asked = new URLSearchParams(location.search);
  const smoothing = byId("smoothing"), log = byId("log-values"), axis = byId("x-axis");

  smoothing.addEventListener("input", () => {
    const weight = Number(smoothing.value);
    byId("smoothing-value").textContent = weight ? weight.toFixed(2) : "off";
    charts.change({ smoothing: weight });
  });
  log.addEventListener("change", () => charts.change({ log: log.checked }));
  axis.addEventListener("change", async () => {
    const wanted = axis.value;
    await charts.change({ axis: wanted });
    if (charts.look.axis === wanted) return;
    axis.value = charts.look.axis;
    axis.querySelector(`[value="${wanted}"]`).disabled = true; // the run does not report it
  });
  byId("reset-zoom").addEventListener("click", () => charts.resetZoom());

  charts.look.axis = asked.get("x") in AXES ? asked.get("x") : "step";
  charts.look.log = asked.has("log");
  charts.look.smoothing = Math.min(0.95, Math.max(0, Number(asked.get("smooth")) || 0));
  [axis.value, log.checked, smoothing.value] = [charts.look.axis, charts.look.log, charts.look.smoothing];
  byId("smoothing-value").textContent = charts.look.smoothing ? charts.look.smoothing.toFixed(2) : "off";

  return () => {
    axis.value = charts.look.axis;
    const steps = asked.get("steps")?.match(/^(\d{1,15})-(\d{1,15})$/)?.slice(1).map(Number);
    if (steps && steps[0] < steps[1]) charts.zoomToSteps(steps);
  };
}

/** The address says how the charts look, so that a link shows the same. */
export function keepInAddress(charts) {
  const { look } = charts;
  const kept = new URLSearchParams(location.search);
  const say = (name, value) => (value ? kept.set(name, value) : kept.delete(name));
  say("x", look.axis === "step" ? "" : look.axis);
  say("log", look.log ? "1" : "");
  say("smooth", look.smoothing ? String(look.smoothing) : "");
  say("steps", charts.zoomSteps?.join("-"));
  history.replaceState(null, "", `${location.pathname}${kept.size ? `?${kept}` : ""}${location.hash}`);
}
