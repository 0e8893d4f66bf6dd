/** The numbers of a chart as a table, newest first. */

import { el, figure } from "../run/dom.js";

const MAX_ROWS = 200;

export function tableOf(lines, axisTitle) {
  const rows = new Map();
  lines.forEach((line, place) => line.x.forEach((x, index) => {
    if (!rows.has(x)) rows.set(x, []);
    rows.get(x)[place] = cell(line, index);
  }));
  const places = [...rows.keys()].sort((a, b) => b - a).slice(0, MAX_ROWS);
  const head = el("tr", {}, el("th", { scope: "col" }, axisTitle), ...lines.map((line) => el("th", { scope: "col", className: "num" }, line.label)));
  const body = places.map((x) => el("tr", {}, el("th", { scope: "row" }, Number.isInteger(x) ? String(x) : figure(x)), ...lines.map((_, place) => el("td", { className: "num" }, rows.get(x)[place] ?? "–"))));
  return el("table", { className: "table table--dense" }, el("thead", {}, head), el("tbody", {}, ...body));
}

function cell({ y, low, high }, index) {
  const value = figure(y[index]);
  return low && low[index] < high[index] ? `${value} (${figure(low[index])} to ${figure(high[index])})` : value;
}
