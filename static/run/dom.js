/** Small helpers around the document. Text from models only ever becomes text nodes. */

import { ago } from "../js/shell.js";

/** An element with properties and children: `el("span", { className: "tag" }, "kept")`. */
export function el(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** The JSON a part of the page answers with; a session that has ended sends the person to sign in. */
export async function fetchJson(url, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) if (one !== "" && one !== null && one !== undefined) query.append(name, one);
  }
  const response = await fetch(query.size ? `${url}?${query}` : url, { headers: { Accept: "application/json" } });
  if (response.redirected) location.reload();
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response.json();
}

/** Nodes of a part rendered by the server, whose templates escape everything. */
export async function fetchPart(url) {
  const response = await fetch(url);
  if (response.redirected) location.reload();
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return [...new DOMParser().parseFromString(await response.text(), "text/html").body.childNodes];
}

/** Render a part anew without taking the keyboard's place from under the person; `prepare` may work on its nodes before. */
export async function refreshPart(target, url, prepare = null) {
  const nodes = await fetchPart(url);
  await prepare?.(nodes);
  const focused = target.contains(document.activeElement) ? placeOf(document.activeElement) : null;
  const open = [...target.querySelectorAll("details")].map((details) => details.open);
  target.replaceChildren(...nodes);
  [...target.querySelectorAll("details")].forEach((details, index) => { if (open[index]) details.open = true; });
  for (const time of target.querySelectorAll("time[data-ago]")) time.textContent = ago(time.dateTime);
  window.htmx?.process(target);
  if (focused) target.querySelector(focused)?.focus({ preventScroll: true });
}

function placeOf(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const action = element.closest("form")?.getAttribute("action");
  return action ? `form[action="${CSS.escape(action)}"] button` : null;
}

/** Call `work` once `wait` ms after the last of several calls. */
export function debounce(work, wait) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), wait);
  };
}

/** A figure in three significant digits. */
export function figure(value) {
  if (value === null || value === undefined) return "–";
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}
