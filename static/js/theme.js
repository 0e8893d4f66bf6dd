/** Reads design tokens as resolved colours, for drawings that need values instead of variables. */

/** The colour of a token, for example `token("--series-1")` gives "rgb(0, 114, 178)". */
export function token(name, element = document.body) {
  const probe = document.createElement("span");
  probe.hidden = true;
  probe.style.color = `var(${name})`;
  element.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

/** Call `redraw` whenever the colour scheme changes; returns a function that stops it. */
export function onThemeChange(redraw) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", redraw);
  document.addEventListener("kumite:theme", redraw);
  return () => {
    system.removeEventListener("change", redraw);
    document.removeEventListener("kumite:theme", redraw);
  };
}

export function announceTheme() {
  document.dispatchEvent(new CustomEvent("kumite:theme"));
}
