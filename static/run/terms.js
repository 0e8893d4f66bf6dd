/**
 * What a reward is made of: its weighted terms as bars on each other, those that take away below zero, and in words how
 * much of the change since the start each term explains. Changes of the terms add up to that of the reward.
 */

import { figure } from "./dom.js";
import { Stack, mean, percent, sum } from "./stack.js";

const HARDLY = 0.005;
const FIRST = 10;

export class Terms extends Stack {
  hoverFormat = "%{y:.3~f}";
  mostBars = Infinity;

  told(value) {
    return figure(value);
  }

  layout() {
    return { ...super.layout(), barmode: "relative", bargap: (this.parts[0]?.x.length ?? 0) > 100 ? 0 : 0.12 };
  }

  sentence(recent, total) {
    const begun = recent.map((part) => ({ ...part, begun: mean(part.y.slice(0, Math.min(FIRST, Math.ceil(part.y.length / 5)))) }));
    const change = total - sum(begun.map((part) => part.begun));
    if (Math.abs(change) < HARDLY) return `As at the start: ${figure(total)}, of which ${begun.map((part) => `${part.label.toLowerCase()} ${figure(part.recent)}`).join(", ")}.`;
    const told = begun
      .map((part) => ({ ...part, change: part.recent - part.begun }))
      .sort((a, b) => Math.abs(b.change) - Math.abs(a.change))
      .map((part) => `${part.label.toLowerCase()} ${signed(part.change)} (${percent(part.change / change)} of it)`);
    return `${change > 0 ? "Up" : "Down"} ${figure(Math.abs(change))} since the start: ${told.join(", ")}.`;
  }
}

const signed = (value) => `${value < 0 ? "−" : "+"}${figure(Math.abs(value))}`;
