/** The head of the page: state, progress, vital signs. What changes with the state is rendered by the server. */

import { announce } from "../js/shell.js";
import { byId, refreshPart } from "./dom.js";

export class State {
  constructor(root, state, onStatus) {
    this.root = root;
    this.onStatus = onStatus;
    this.state = state;
    this.wait();
  }

  take(state) {
    const before = this.state;
    this.state = state;
    if (state.version !== before.version || state.failure !== before.failure) {
      announce(`The run is now ${state.label.toLowerCase()}.`);
      byId("run").dataset.status = state.status;
      refreshPart(byId("head"), `${this.root}parts/head/`);
      this.onStatus();
    } else {
      this.write(state);
    }
    this.vitals(state.vitals);
    this.wait();
  }

  write(state) {
    for (const place of document.querySelectorAll("[data-word]")) {
      const words = state[place.dataset.word];
      if (place.textContent !== words) place.textContent = words;
    }
    byId("progress").value = state.fraction;
  }

  vitals(vitals) {
    const shown = [...document.querySelectorAll("[data-vital]")].map((vital) => vital.dataset.vital);
    if (shown.join() !== vitals.map((vital) => vital.key).join()) {
      refreshPart(byId("vitals"), `${this.root}parts/vitals/`);
      return;
    }
    for (const vital of vitals) {
      const place = document.querySelector(`[data-vital="${CSS.escape(vital.key)}"]`);
      place.dataset.tone = vital.tone;
      for (const part of place.querySelectorAll("[data-vital-part]")) {
        if (part.textContent !== vital[part.dataset.vitalPart]) part.textContent = vital[part.dataset.vitalPart];
      }
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
