/**
 * The tokens of a sample, shaded by what the update saw of them. Asked for when a person opens them; read by pointer, by arrow
 * keys and as a table.
 */

import { el, fetchJson, figure } from "./dom.js";

/** Each gives a value per token, where it is known, and the shade of a value from -4 (blue) to 4 (orange). */
const QUANTITIES = {
  surprise: {
    title: "Log-probability", unit: "nats", low: "likely", high: "unlikely", values: (row) => row.logprobs,
    shade: (value) => step(-value, [0.1, 0.7, 2, 4]),
  },
  entropy: {
    title: "Entropy", unit: "nats", low: "certain", high: "open", values: (row) => row.entropies,
    shade: (value) => step(value, [0.1, 0.5, 1, 2]),
  },
  ratio: {
    title: "Ratio learner to sampler", unit: "log", low: "less likely now", high: "more likely now", diverges: true,
    values: (row) => row.learner.map((value, place) => value - row.logprobs[place]),
    shade: (value) => Math.sign(value) * step(Math.abs(value), [0.01, 0.05, 0.2, 0.7]),
  },
  advantage: {
    title: "Advantage", unit: "", low: "made less likely", high: "made more likely", diverges: true,
    values: (row) => (row.advantage === null ? [] : row.texts.map(() => row.advantage)),
    shade: (value) => Math.sign(value) * step(Math.abs(value), [0.01, 0.5, 1, 2]),
  },
};

const step = (value, limits) => limits.filter((limit) => value >= limit).length;

export function mountTokens(sample, button) {
  const view = { sample, button, rows: null, quantity: "surprise", turn: null, at: 0 };
  button.addEventListener("click", () => (button.getAttribute("aria-pressed") === "true" ? hide(view) : show(view)));
}

async function show(view) {
  view.button.setAttribute("aria-busy", "true");
  try {
    view.rows ??= (await fetchJson(view.sample.dataset.tokens)).turns;
    view.button.setAttribute("aria-pressed", "true");
    draw(view);
  } catch {
    tell(view, "The tokens could not be read. Try again in a moment.");
  }
  view.button.removeAttribute("aria-busy");
}

function hide(view) {
  view.button.setAttribute("aria-pressed", "false");
  bar(view).hidden = true;
  for (const drawn of view.sample.querySelectorAll("[data-token-text]")) drawn.remove();
  for (const text of view.sample.querySelectorAll("[data-under-tokens]")) {
    text.hidden = false;
    delete text.dataset.underTokens;
  }
}

const bar = (view) => view.sample.querySelector("[data-token-bar]");

function tell(view, words) {
  bar(view).hidden = false;
  bar(view).replaceChildren(el("p", { className: "small soft" }, words));
}

function draw(view) {
  const places = Object.keys(view.rows);
  if (!places.length) return tell(view, "No tokens are kept of this sample: they are written for what was learnt from, of the newest steps (recording.token_steps), in the run's own folder.");
  const known = Object.keys(QUANTITIES).filter((name) => places.some((place) => QUANTITIES[name].values(view.rows[place]).length));
  if (!known.includes(view.quantity)) view.quantity = known[0];
  const choice = el("select", { className: "input" }, ...known.map((name) => el("option", { value: name, selected: name === view.quantity }, QUANTITIES[name].title)));
  choice.addEventListener("change", () => {
    view.quantity = choice.value;
    shade(view);
  });
  view.legend = el("span", { className: "token-legend" });
  view.now = el("output", { className: "token-now" }, "Point at a token, or walk with the arrow keys.");
  view.table = el("div", { className: "token-table" });
  const details = el("details", {}, el("summary", {}, "As a table"), view.table);
  details.addEventListener("toggle", () => fill(view, details));
  view.details = details;
  bar(view).className = "token-bar";
  bar(view).replaceChildren(el("label", {}, "Shade by", choice), view.legend, details, view.now);
  bar(view).hidden = false;
  for (const place of places) drawTurn(view, place);
  shade(view);
}

function drawTurn(view, place) {
  const turn = view.sample.querySelector(`[data-turn="${CSS.escape(place)}"]`);
  const text = turn?.querySelector("[data-blocks], .pair__text");
  if (!text) return;
  const row = view.rows[place];
  const list = el("div", { className: "tokens", tabIndex: 0 });
  list.setAttribute("role", "group");
  list.setAttribute("aria-label", `${row.texts.length} tokens; arrow keys walk them`);
  list.dataset.tokenText = place;
  row.texts.forEach((written, number) => {
    const token = el("span", { className: "token", id: `turn-${place}-token-${number}` }, shown(written));
    token.dataset.token = number;
    list.append(token);
  });
  list.addEventListener("pointerover", (event) => {
    const token = event.target.closest("[data-token]");
    if (token) read(view, place, Number(token.dataset.token));
  });
  list.addEventListener("focus", () => read(view, place, view.turn === place ? view.at : 0));
  list.addEventListener("keydown", (event) => walk(view, place, event));
  text.hidden = true;
  text.dataset.underTokens = "";
  text.before(list);
}

/** A token's text; one that is nothing but space or an end mark is made visible. */
function shown(written) {
  if (written === "") return el("span", { className: "token__mark" }, "∅");
  if (/^\s+$/.test(written)) return written.replaceAll("\n", "⏎\n");
  return written;
}

function walk(view, place, event) {
  const last = view.rows[place].texts.length - 1;
  const to = { ArrowRight: view.at + 1, ArrowLeft: view.at - 1, Home: 0, End: last }[event.key];
  if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  read(view, place, Math.max(0, Math.min(last, to)));
}

function read(view, place, number) {
  view.turn = place;
  view.at = number;
  for (const old of view.sample.querySelectorAll("[data-current]")) delete old.dataset.current;
  const list = view.sample.querySelector(`[data-token-text="${CSS.escape(place)}"]`);
  list.children[number].dataset.current = "";
  const row = view.rows[place];
  const facts = Object.values(QUANTITIES).map(({ title, unit, values }) => {
    const value = values(row)[number];
    return value === undefined ? null : `${title.toLowerCase()} ${figure(value)}${unit ? ` ${unit}` : ""}`;
  }).filter(Boolean);
  const probability = row.logprobs[number] === undefined ? "" : `, probability ${figure(Math.exp(row.logprobs[number]))}`;
  view.now.textContent = `${JSON.stringify(row.texts[number])} · token ${number + 1} of ${row.texts.length}, id ${row.ids[number]} · ${facts.join(" · ")}${probability}`;
}

function shade(view) {
  const { values, shade: shadeOf, low, high, diverges, title } = QUANTITIES[view.quantity];
  for (const list of view.sample.querySelectorAll("[data-token-text]")) {
    const found = values(view.rows[list.dataset.tokenText]);
    [...list.children].forEach((token, number) => {
      token.dataset.shade = found[number] === undefined ? 0 : shadeOf(found[number]);
    });
  }
  const shades = diverges ? [-4, -3, -2, -1, 0, 1, 2, 3, 4] : [0, 1, 2, 3, 4];
  view.legend.replaceChildren(el("span", {}, low), ...shades.map((number) => {
    const box = el("i");
    box.dataset.shade = number;
    return box;
  }), el("span", {}, high));
  view.legend.setAttribute("role", "img");
  view.legend.setAttribute("aria-label", `${title}: from ${low}${diverges ? " (blue)" : ""} to ${high} (orange)`);
  fill(view, view.details);
}

function fill(view, details) {
  if (!details.open) return;
  const head = ["Turn", "Token", ...Object.values(QUANTITIES).map(({ title }) => title)].map((title) => el("th", { scope: "col" }, title));
  const rows = Object.entries(view.rows).flatMap(([place, row]) => {
    const columns = Object.values(QUANTITIES).map(({ values }) => values(row));
    return row.texts.map((written, number) => el("tr", {},
      el("td", {}, String(Number(place) + 1)),
      el("td", { className: "mono" }, JSON.stringify(written)),
      ...columns.map((values) => el("td", { className: "num" }, figure(values[number])))));
  });
  view.table.tabIndex = 0;
  view.table.setAttribute("role", "group");
  view.table.setAttribute("aria-label", "Tokens as a table");
  view.table.replaceChildren(el("table", { className: "table table--dense" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)));
}

/** Show the tokens of a turn that an address names: `#turn-3-token-17`. */
export async function openToken(sample, place, number) {
  const button = sample.querySelector("[data-show-tokens]");
  if (!button) return;
  button.click();
  for (let tries = 0; tries < 100; tries += 1) {
    const token = document.getElementById(`turn-${place}-token-${number}`);
    if (token) {
      token.parentElement.focus({ preventScroll: true });
      token.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
      token.scrollIntoView({ block: "center" });
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
