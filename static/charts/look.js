/** How charts look: axes, grid and hover in the colours of the page's theme. */

import { token } from "../js/theme.js";

export const CONFIG = { displayModeBar: false, responsive: true, doubleClick: "reset", showTips: false };
export const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];

/** Plotly's layout. `x` and `y` are `{ title?, range?, log?, type? }`; without a range an axis fits its lines. */
export function layout({ height, x, y }) {
  const [ink, line, strong] = [token("--ink-faint"), token("--line"), token("--line-strong")];
  const axis = { gridcolor: line, linecolor: strong, zerolinecolor: line, tickcolor: strong, automargin: true };
  return {
    height,
    margin: { l: 38, r: 10, t: 6, b: 30 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 11, color: ink },
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: { bgcolor: token("--sheet"), bordercolor: strong, font: { color: token("--ink"), size: 12 } },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    uirevision: "held by the page",
    xaxis: { ...axis, showgrid: false, unifiedhovertitle: { text: x.hover }, title: { text: x.title, standoff: 4 }, ...ranged(x.range) },
    yaxis: { ...axis, type: y.log ? "log" : "linear", ...ranged(y.range) },
    yaxis2: { overlaying: "y", range: [0, 1], visible: false, fixedrange: true },
  };
}

/** Fixed limits of an axis with a little air, so that a line at the limit is seen. */
export function padded([low, high]) {
  const pad = (high - low) * 0.04;
  return [low - pad, high + pad];
}

function ranged(range) {
  return range ? { range: [...range], autorange: false } : { autorange: true };
}

/** A colour "rgb(0, 114, 178)" as seen through. */
export function sheer(colour, share) {
  return colour.startsWith("rgb(") ? colour.replace("rgb(", "rgba(").replace(")", `, ${share})`) : colour;
}
