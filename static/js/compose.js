/** Brings the compose form in step with the server's findings: messages at the fields, YAML, hidden settings opened. */

const form = document.getElementById("compose-form");
const yaml = document.getElementById("yaml");
const expert = document.getElementById("expert");

function readState() {
  const element = document.getElementById("compose-state");
  return element ? JSON.parse(element.textContent) : { errors: {}, yaml: "" };
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

function inStep() {
  const state = readState();
  showErrors(state.errors);
  if (state.yaml && document.activeElement !== yaml) {
    yaml.value = state.yaml;
    document.getElementById("yaml-errors").replaceChildren();
  }
}

/** Follow a finding's link even into settings that are not shown. */
function follow(event) {
  const link = event.target.closest("#compose-check a[href^='#']");
  if (!link) return;
  const input = document.getElementById(link.hash.slice(1));
  if (!input) return;
  event.preventDefault();
  if (input.closest("[data-advanced]")) expert.checked = true;
  form.querySelector("input[name='view'][value='form']").checked = true;
  input.focus();
  input.scrollIntoView({ block: "center" });
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
expert.addEventListener("change", remember);
document.addEventListener("click", follow);
document.addEventListener("htmx:after:swap", (event) => {
  const target = event.detail?.ctx?.target ?? event.target;
  if (target.id?.endsWith("-block")) {
    document.getElementById("compose-fields").dispatchEvent(new CustomEvent("kumite:changed"));
  }
  inStep();
});
