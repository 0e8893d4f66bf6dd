/** The figure a chart lives in, for pages that make theirs in the browser; its looks are in charts/chart.css. */

import { el } from "../run/dom.js";

export function chartFigure({ id = "", title, help = "" }) {
  const legend = el("ul", { className: "chart__legend" });
  const plot = el("div", { className: "chart__plot", ariaHidden: "true" });
  const table = el("div", { className: "table-wrap", tabIndex: 0, role: "region", ariaLabel: `${title}, as a table` });
  legend.dataset.legend = plot.dataset.plot = table.dataset.table = "";
  return el(
    "figure",
    { id, className: "chart", ariaLabel: title },
    el("figcaption", { className: "chart__head" }, el("span", { className: "chart__title" }, title), el("span", { className: "chart__help" }, help)),
    legend,
    plot,
    el("details", { className: "chart__table" }, el("summary", {}, "As a table"), table),
  );
}
