/** The head of the page: state, progress, vital signs. What changes with the state is rendered by the server. */

import { announce } from "../js/shell.js";
import { byId, refreshPart } from "./dom.js";

const LISTEN_MS = 60_000;

export class State {
  constructor(page, onStatus) {
    this.page = page;
    this.root = page.root;
    this.onStatus = onStatus;
    this.state = page.state;
    this.wait();
    this.stage(this.state.stage);
    setInterval(() => this.listen(), LISTEN_MS);
  }

  /** Of a run that happens elsewhere silence is no event: whether contact was lost is looked up now and then. */
  listen() {
    if (!document.hidden && document.querySelector("[data-outside]")) this.head();
  }

  head() {
    refreshPart(byId("head"), `${this.root}parts/head/`).then(() => this.stage(this.state.stage), () => {});
  }

  take(state) {
    const before = this.state;
    this.state = state;
    if (state.version !== before.version || state.failure !== before.failure) {
      announce(`The run is now ${state.label.toLowerCase()}.`);
      byId("run").dataset.status = state.status;
      this.head();
      this.onStatus();
    } else {
      this.write(state);
    }
    if ("watching" in state) this.watching(state.watching);
    if (this.page.at === null) this.vitals(state.vitals);
    this.wait();
  }

  write(state) {
    for (const place of document.querySelectorAll("[data-word]")) {
      const words = state[place.dataset.word];
      if (place.textContent !== words) place.textContent = words;
    }
    byId("progress").value = state.fraction;
    this.stage(state.stage);
  }

  /** How far the run is on its way; what is behind it is done, also in words. */
  stage(stage) {
    const steps = [...document.querySelectorAll("[data-stage-of]")];
    const here = steps.findIndex((step) => step.dataset.stageOf === stage);
    steps.forEach((step, place) => {
      step.toggleAttribute("data-past", place < here);
      if (place === here) step.setAttribute("aria-current", "step");
      else step.removeAttribute("aria-current");
    });
  }

  /** How many people have the page open; one is only the person who reads this. */
  watching(count) {
    const place = byId("watching");
    place.hidden = !(count > 1);
    place.textContent = `${count} watching`;
  }

  vitals(vitals) {
    document.querySelector(".vitals")?.toggleAttribute("data-past", this.page.at !== null);
    const shown = [...document.querySelectorAll("[data-vital]")].map((vital) => vital.dataset.vital);
    if (shown.join() !== vitals.map((vital) => vital.key).join()) {
      const { at } = this.page;
      refreshPart(byId("vitals"), `${this.root}parts/vitals/${at === null ? "" : `?at=${at}`}`);
      return;
    }
    for (const vital of vitals) {
      const place = document.querySelector(`[data-vital="${CSS.escape(vital.key)}"]`);
      place.dataset.tone = vital.tone;
      for (const part of place.querySelectorAll("[data-vital-part]")) {
        if (part.textContent !== vital[part.dataset.vitalPart]) part.textContent = vital[part.dataset.vitalPart];
      }
      fillBar(place.querySelector("[data-vital-bar]"), vital.parts);
    }
  }

  /** Before the first step the place of the curves tells what the run is doing. */
  wait() {
    const { state } = this;
    const phase = byId("curves-phase");
    phase.textContent = state.phase || (state.waiting ? `This run ${state.waiting}` : state.is_terminal ? "This run ended before its first step" : "Waiting for the first step");
    const progress = byId("curves-progress");
    if (state.phase_fraction === null) progress.removeAttribute("value");
    else progress.value = state.phase_fraction;
    progress.hidden = !state.is_live;
  }
}

/** The parts of a whole beside each other, as wide as they are large. */
function fillBar(bar, parts) {
  if (!bar) return;
  let x = 0;
  bar.replaceChildren(...parts.map((part) => {
    const piece = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of Object.entries({ x: 100 * x, y: 0, width: 100 * part.share, height: 6, class: `tint--${part.tint}` })) piece.setAttribute(name, value);
    x += part.share;
    return piece;
  }));
  bar.setAttribute("aria-label", parts.map((part) => `${part.label} ${Math.round(100 * part.share)}%`).join(", "));
}
