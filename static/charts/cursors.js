/** Lines across a chart that move without drawing it anew: where the page points, and where the pointer is. */

export class Cursors {
  constructor(plot) {
    this.plot = plot;
    this.point = null;
    this.hover = null;
  }

  place() {
    const axis = this.plot._fullLayout?.xaxis;
    if (!axis?.d2p || (this.point === null && this.hover === null && !this.line)) return;
    this.make();
    const [from, to] = [axis._offset, axis._offset + axis._length];
    const { t, h } = this.plot._fullLayout._size;
    for (const piece of [this.line, this.veil, this.follower]) {
      piece.style.top = `${t}px`;
      piece.style.height = `${h}px`;
    }
    const at = (x) => (x === null ? null : from + axis.d2p(x));
    const point = at(this.point), hover = at(this.hover);
    show(this.line, point, from, to);
    show(this.follower, hover, from, to);
    this.veil.hidden = point === null || point >= to;
    this.veil.style.left = `${Math.max(from, point ?? to)}px`;
    this.veil.style.width = `${Math.max(0, to - Math.max(from, point ?? to))}px`;
  }

  /** Plotly clears the plot when it is first drawn, so the pieces come after. */
  make() {
    if (this.line?.isConnected) return;
    [this.veil, this.line, this.follower] = ["chart__veil", "chart__cursor", "chart__cursor chart__cursor--hover"].map((name) => {
      const piece = document.createElement("span");
      piece.className = name;
      return piece;
    });
    this.plot.append(this.veil, this.line, this.follower);
  }
}

function show(piece, x, from, to) {
  piece.hidden = x === null || x < from - 1 || x > to + 1;
  if (!piece.hidden) piece.style.left = `${x}px`;
}
