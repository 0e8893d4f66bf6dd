/** The list of runs: a choice that lasts over pages and filters, folded experiments, and keys. */

import { announce } from "../js/shell.js";
import { Choice } from "./choice.js";

const form = document.getElementById("chosen");
const tray = document.getElementById("tray");
const choice = new Choice(`kumite:chosen:${tray.dataset.workspace}`);
const folded = new Set();
let lastTouched = null;

const boxes = () => [...form.querySelectorAll('input[type="checkbox"][name="run"]')];
const within = (group) => [...group.closest("tbody").querySelectorAll('input[name="run"]')];
const isTyping = (element) => element.closest?.("input:not([type=checkbox]), select, textarea, [contenteditable]");

function show() {
  for (const box of boxes()) box.checked = choice.has(box.value);
  const all = form.querySelector("[data-choose-all]");
  if (all) all.checked = boxes().length > 0 && boxes().every((box) => box.checked);
  for (const group of form.querySelectorAll("[data-choose-group]")) group.checked = within(group).every((box) => box.checked);
  tray.hidden = choice.size === 0;
  tray.querySelector("[data-count]").textContent = `${choice.size} run${choice.size === 1 ? "" : "s"} chosen`;
  tray.querySelector("[data-names]").textContent = choice.titles.slice(0, 4).join(", ") + (choice.size > 4 ? ", …" : "");
  for (const button of form.querySelectorAll("[data-fold]")) fold(button, folded.has(button.dataset.fold));
}

function fold(button, shut) {
  button.setAttribute("aria-expanded", String(!shut));
  for (const row of button.closest("tbody").querySelectorAll(".runs-row")) row.hidden = shut;
}

function choose(box, on) {
  choice.set(box.value, box.dataset.title, on);
}

form.addEventListener("change", (event) => {
  const box = event.target;
  if (box.matches("[data-choose-all]")) for (const each of boxes()) choose(each, box.checked);
  else if (box.matches("[data-choose-group]")) for (const each of within(box)) choose(each, box.checked);
  else if (box.name === "run") choose(box, box.checked);
  show();
});

form.addEventListener("click", (event) => {
  const button = event.target.closest("[data-fold]");
  if (button) {
    if (!folded.delete(button.dataset.fold)) folded.add(button.dataset.fold);
    show();
  }
  if (event.target.closest("[data-clear]")) clear();
  const box = event.target.closest('input[name="run"]');
  if (!box) return;
  if (event.shiftKey && lastTouched) {
    const all = boxes();
    const [from, to] = [all.indexOf(lastTouched), all.indexOf(box)].sort((a, b) => a - b);
    for (const each of all.slice(Math.max(from, 0), to + 1)) choose(each, box.checked);
    show();
  }
  lastTouched = box;
});

/** What was chosen on other pages travels with the form; a deed that changes the runs ends the choice. */
form.addEventListener("submit", (event) => {
  for (const old of form.querySelectorAll("[data-elsewhere]")) old.remove();
  const here = new Set(boxes().map((box) => box.value));
  for (const id of choice.ids) {
    if (here.has(id)) continue;
    const hidden = Object.assign(document.createElement("input"), { type: "hidden", name: "run", value: id });
    hidden.dataset.elsewhere = "";
    form.append(hidden);
  }
  if (event.submitter?.value === "archive" || event.submitter?.value === "base") choice.clear();
});

/** The address changes while filters are typed; what is saved or come back to is the address of now. */
document.addEventListener("submit", () => {
  for (const query of document.querySelectorAll("[data-query]")) query.value = location.search.slice(1);
}, { capture: true });

function clear() {
  choice.clear();
  announce("No run is chosen.");
  show();
}

function move(by) {
  const all = boxes().filter((box) => !box.closest("[hidden]"));
  const at = all.indexOf(document.activeElement);
  all[Math.min(all.length - 1, Math.max(0, at === -1 ? 0 : at + by))]?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "x" && boxes().includes(document.activeElement)) document.activeElement.click();
  else if (event.key === "c" && choice.size) form.querySelector('[value="compare"]').click();
  else if (event.key === "Escape" && choice.size && !document.querySelector("details[data-menu][open]")) clear();
  else return;
  event.preventDefault();
});

// A metric is added by its button; its half-typed name is no news for the list.
document.querySelector(".runs-menu__metric")?.addEventListener("input", (event) => event.stopPropagation());
document.addEventListener("htmx:after:swap", show);
window.addEventListener("pageshow", show);
for (const button of document.querySelectorAll("[data-without-script]")) button.hidden = true;
tray.querySelector("[data-clear]").hidden = false;
for (const button of form.querySelectorAll("[data-fold]")) folded.add(button.dataset.fold);
show();
