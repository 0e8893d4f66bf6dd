/** Brings the compose form in step with the server's findings: messages at the fields, choices that fit, YAML, the drawing. */

import "./gallery.js";
import * as boxes from "./compose/boxes.js";
import * as yaml from "./compose/yaml.js";

const form = document.getElementById("compose-form");
const expert = document.getElementById("expert");

function readState() {
  const element = document.getElementById("compose-state");
  return element ? JSON.parse(element.textContent) : { errors: {}, closed: {}, changed: [], yaml: "" };
}

function showErrors(errors) {
  for (const place of form.querySelectorAll(".field__error")) {
    const id = place.id.slice(0, -"-error".length);
    const words = errors[id] ?? "";
    if (place.textContent !== words) place.textContent = words;
    const input = document.getElementById(id);
    if (words) input?.setAttribute("aria-invalid", "true");
    else input?.removeAttribute("aria-invalid");
  }
}

/** Grey out what does not fit the rest of the form, with the reason below. */
function showClosed(closed) {
  for (const list of form.querySelectorAll(".field__closed")) {
    const id = list.id.slice(0, -"-closed".length);
    const reasons = closed[id] ?? {};
    const select = document.getElementById(id);
    if (!select) continue;
    const lines = [];
    for (const option of select.options) {
      const reason = reasons[option.value];
      option.disabled = reason !== undefined;
      if (reason === undefined) continue;
      const line = document.createElement("li");
      const name = document.createElement("strong");
      name.textContent = option.textContent;
      line.append(name, ` does not fit: ${reason}.`);
      lines.push(line);
    }
    list.replaceChildren(...lines);
  }
}

function showChanged(changed) {
  const ids = new Set(changed);
  for (const label of form.querySelectorAll("#compose-fields .field__label")) {
    const id = label.htmlFor || label.id.slice(0, -"-label".length);
    label.classList.toggle("field__label--changed", ids.has(id));
  }
}

/** What is wrong in the YAML view must not be launched as what the form still holds. */
function holdBack() {
  for (const button of form.querySelectorAll("[data-deed]")) button.disabled = yaml.isWrong();
  document.getElementById("yaml-note").hidden = !yaml.isWrong();
}

function inStep() {
  const state = readState();
  showErrors(state.errors);
  showClosed(state.closed);
  showChanged(state.changed);
  yaml.show(state.yaml);
  yaml.number();
  holdBack();
  boxes.refresh();
}

/** Follow a finding's link even into settings that are not shown. */
function follow(event) {
  const link = event.target.closest("#compose-check a[href^='#']");
  const input = link && document.getElementById(link.hash.slice(1));
  if (!input) return;
  event.preventDefault();
  if (input.closest("[data-advanced]")) expert.checked = true;
  if (form.querySelector("input[name='view'][value='yaml']").checked) {
    form.querySelector("input[name='view'][value='all']").click();
  }
  boxes.openFor(input);
  input.focus();
  input.scrollIntoView({ block: "center" });
}

/** A column picked below the file becomes the task's field. */
function pickColumn(event) {
  const target = event.target.dataset?.columnFor;
  const input = target && document.getElementById(target);
  if (!input) return;
  input.value = event.target.value;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

function remember() {
  try {
    localStorage.setItem("compose-expert", expert.checked ? "1" : "");
  } catch {
    // Without storage the switch starts in its simple position.
  }
}

function recall() {
  try {
    if (localStorage.getItem("compose-expert")) expert.checked = true;
  } catch {
    // As above.
  }
}

for (const button of form.querySelectorAll("[data-without-script]")) button.hidden = true;
recall();
boxes.mount();
yaml.mount();
expert.addEventListener("change", remember);
document.addEventListener("click", follow);
document.addEventListener("change", pickColumn);
document.addEventListener("htmx:after:swap", (event) => {
  const target = event.detail?.ctx?.target ?? event.target;
  if (target.id?.endsWith("-block")) {
    document.getElementById("compose-fields").dispatchEvent(new CustomEvent("kumite:changed"));
  }
  inStep();
});
