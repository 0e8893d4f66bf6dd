/**
 * Finds formulas in a text and tells what MathML of one may stand on a page. Texts come from models and may mean harm: what is not on
 * the lists below is left out, and a formula that cannot be set stays as it was written.
 */

const MOST = 200;
const MATHML = "http://www.w3.org/1998/Math/MathML";
/* The colour in which KaTeX prints the name of a command that it does not carry out; by it such formulas are told. */
const REFUSED = "#c0ffee";
const OPTIONS = { output: "mathml", trust: false, throwOnError: true, strict: "ignore", errorColor: REFUSED, maxExpand: 200, maxSize: 10 };

/* At most 2,000 characters each, so that the search is over soon whatever stands in a text.
   $$ $$, \[ \], \( \), an environment by itself, and $ $ as pandoc reads it: nothing blank inside the dollars, no digit behind them. */
const FORMULA = new RegExp(
  [
    String.raw`\$\$(?<a>[^$]{1,2000}?)\$\$`,
    String.raw`\\\[(?<b>[\s\S]{1,2000}?)\\\]`,
    String.raw`\\\((?<c>[\s\S]{1,2000}?)\\\)`,
    String.raw`(?<d>\\begin\{(?<env>align|aligned|equation|gather|gathered|cases|array|matrix|pmatrix|bmatrix|vmatrix)(?<star>\*?)\}[\s\S]{1,2000}?\\end\{\k<env>\k<star>\})`,
    String.raw`(?<![\\$\w])\$(?<e>[^\s$](?:[^$\n]{0,2000}?[^\s$\\])?)\$(?![\d$])`,
  ].join("|"),
  "g",
);

const ELEMENTS = new Set(
  ["math", "semantics", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle", "mpadded", "mphantom"].concat(
    ["msub", "msup", "msubsup", "munder", "mover", "munderover", "mmultiscripts", "mtable", "mtr", "mtd", "menclose", "merror"],
  ),
);
const ATTRIBUTES = new Set(
  ["mathvariant", "display", "displaystyle", "scriptlevel", "stretchy", "fence", "separator", "accent", "accentunder", "minsize", "maxsize"].concat(
    ["form", "largeop", "movablelimits", "symmetric", "linethickness", "width", "height", "depth", "lspace", "rspace", "notation"],
    ["columnalign", "columnspacing", "columnlines", "rowspacing", "rowlines", "rowalign", "mathsize", "encoding"],
  ),
);

/** Whether it is worth loading what sets formulas. */
export function hasFormula(text) {
  return text.search(FORMULA) >= 0;
}

/** The text in pieces: what is between formulas, and formulas as ``{ source, tex, display }``. */
export function pieces(text) {
  const found = [];
  let at = 0;
  let count = 0;
  for (const match of text.matchAll(FORMULA)) {
    const { a, b, c, d, e } = match.groups;
    const tex = a ?? b ?? c ?? d ?? e;
    if (++count > MOST) break;
    if (match.index > at) found.push(text.slice(at, match.index));
    found.push({ source: match[0], tex, display: (a ?? b ?? d) !== undefined });
    at = match.index + match[0].length;
  }
  if (at < text.length) found.push(text.slice(at));
  return found;
}

/** A formula as an element, or as it was written where it cannot be set. */
export function setFormula(katex, formula) {
  try {
    const markup = katex.renderToString(formula.tex, { ...OPTIONS, displayMode: formula.display, macros: {} });
    if (markup.includes(REFUSED)) return formula.source;
    const xml = markup.slice(markup.indexOf("<math"), markup.lastIndexOf("</math>") + 7).replace(/ style="[^"]*"/g, "");
    const read = new DOMParser().parseFromString(xml, "application/xml").documentElement;
    const math = read.localName === "math" ? copied(read) : null;
    if (!math) return formula.source;
    const place = document.createElement("span");
    place.className = formula.display ? "formula formula--display" : "formula";
    place.title = formula.source;
    place.append(math);
    return place;
  } catch {
    return formula.source;
  }
}

/** What is on the lists, made anew; text stays text. */
function copied(node) {
  if (node.nodeType === Node.TEXT_NODE) return document.createTextNode(node.data);
  if (node.nodeType !== Node.ELEMENT_NODE || !ELEMENTS.has(node.localName)) return null;
  const made = document.createElementNS(MATHML, node.localName);
  for (const { name, value } of node.attributes) if (ATTRIBUTES.has(name)) made.setAttribute(name, value);
  for (const child of node.childNodes) {
    const inner = copied(child);
    if (inner) made.append(inner);
  }
  return made;
}
