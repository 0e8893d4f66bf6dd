/** Marks as drawings on a 12-grid and as words, the same on charts and on the scrubber. */

export const KINDS = {
  alert: { words: "Alert", path: "M3 1v10M3 1.5h7L8 4l2 2.5H3", tone: "bad" },
  override: { words: "Overruled", path: "M2 7c0 2.5 1.5 4 4 4s4-1.5 4-4V3.5M8 6V2M6 6V1M4 6V2.5M2 7V5", tone: "accent" },
  change: { words: "Change", path: "M2 10l1-3 5.5-5.5 2 2L5 9z", tone: "accent" },
  restart: { words: "Restart", path: "M3 1.5L10 6l-7 4.5z", tone: "warn" },
  checkpoint: { words: "Checkpoint", path: "M6 1l5 5-5 5-5-5z", tone: "faint" },
};
const ORDER = Object.keys(KINDS);

/** The mark that matters most comes first. */
export const byWeight = (a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind);

export function glyph(kind) {
  const look = KINDS[kind] ?? KINDS.checkpoint;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("class", `mark mark--${look.tone}`);
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", look.path);
  svg.append(path);
  return svg;
}

/** "Checkpoint at step 20", or what the mark says. */
export function sentence(mark) {
  const { words } = KINDS[mark.kind] ?? KINDS.checkpoint;
  const told = mark.text && mark.text !== words ? `${words}: ${mark.text}` : words;
  return `${told}, step ${mark.step}`;
}
