/** Marks on the horizontal axis: what happened at a step beside the numbers. */

import { token } from "../js/theme.js";

/** Shape and colour of each kind of mark; a kind that is not listed looks like a checkpoint. */
export const MARKS = {
  checkpoint: { symbol: "diamond", token: "--ink-faint" },
  restart: { symbol: "triangle-right", token: "--warn" },
  change: { symbol: "square", token: "--accent" },
  override: { symbol: "star", token: "--accent" },
  alert: { symbol: "triangle-up", token: "--bad" },
};

/** Plotly's trace of points `{ x, y, text }` on the lines themselves that people said something at. */
export function remarkTrace(remarks) {
  return {
    type: "scatter",
    mode: "markers",
    x: remarks.map((each) => each.x),
    y: remarks.map((each) => each.y),
    text: remarks.map((each) => each.text),
    hovertemplate: "%{text}<extra></extra>",
    marker: { size: 10, symbol: "circle-open", line: { width: 2 }, color: token("--accent") },
  };
}

/** Plotly's trace of marks `{ x, kind, text }`, on an axis of its own at the foot of the chart. */
export function markTrace(marks) {
  const looks = marks.map((mark) => MARKS[mark.kind] ?? MARKS.checkpoint);
  return {
    type: "scatter",
    mode: "markers",
    x: marks.map((mark) => mark.x),
    y: marks.map(() => 0.03),
    yaxis: "y2",
    text: marks.map((mark) => mark.text),
    hovertemplate: "%{text}<extra></extra>",
    marker: { size: 6, symbol: looks.map((look) => look.symbol), color: looks.map((look) => token(look.token)) },
  };
}
