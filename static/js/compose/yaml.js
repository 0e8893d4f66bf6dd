/** The YAML view: numbers beside its lines, lines at fault marked, a click on an error goes there. */

const text = document.getElementById("yaml");
const gutter = document.getElementById("yaml-lines");

function wrongLines() {
  return new Set([...document.querySelectorAll("#yaml-errors [data-line]")].map((link) => Number(link.dataset.line)));
}

export function number() {
  const wrong = wrongLines();
  const count = text.value.split("\n").length;
  gutter.replaceChildren(
    ...Array.from({ length: count }, (_, place) => {
      const line = document.createElement("span");
      line.textContent = String(place + 1);
      if (wrong.has(place + 1)) line.className = "code-lines__wrong";
      return line;
    }),
  );
  gutter.scrollTop = text.scrollTop;
}

/** Put the server's text into the view, unless somebody types there. */
export function show(yaml) {
  if (!yaml || document.activeElement === text || text.value === yaml) return;
  text.value = yaml;
  document.getElementById("yaml-errors").replaceChildren();
}

function goTo(line) {
  const before = text.value.split("\n").slice(0, line - 1);
  const start = before.reduce((sum, each) => sum + each.length + 1, 0);
  const end = text.value.indexOf("\n", start);
  text.focus();
  text.setSelectionRange(start, end < 0 ? text.value.length : end);
  const height = Number.parseFloat(getComputedStyle(text).lineHeight);
  text.scrollTop = Math.max(0, (line - 4) * height);
  const place = text.getBoundingClientRect().top + (line - 1) * height - text.scrollTop;
  window.scrollBy({ top: place - window.innerHeight / 3 });
}

/** Whether what stands in the view cannot be used. */
export function isWrong() {
  return document.querySelector("#yaml-errors li") !== null;
}

/** Tab and Shift-Tab leave the field as everywhere; Enter keeps the indentation of the line. */
function keepIndentation(event) {
  if (event.key !== "Enter" || event.isComposing) return;
  const line = text.value.slice(0, text.selectionStart).split("\n").at(-1);
  const indent = line.match(/^ */)[0] + (line.trimEnd().endsWith(":") ? "  " : "");
  if (!indent) return;
  event.preventDefault();
  text.setRangeText(`\n${indent}`, text.selectionStart, text.selectionEnd, "end");
  text.dispatchEvent(new Event("input", { bubbles: true }));
}

export function mount() {
  text.addEventListener("input", number);
  text.addEventListener("scroll", () => (gutter.scrollTop = text.scrollTop));
  text.addEventListener("keydown", keepIndentation);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("#yaml-errors [data-line]");
    if (!link) return;
    event.preventDefault();
    goTo(Number(link.dataset.line));
  });
  number();
}
