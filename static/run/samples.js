/**
 * The stream of samples. New ones appear on top by themselves only while nobody reads: an open sample, the pointer or
 * the keyboard in the list, or the button, hold it still, and what comes meanwhile is counted.
 */

import { announce } from "../js/shell.js";
import { byId, debounce, el, fetchJson, fetchPart } from "./dom.js";
import { mountReading } from "./reading.js";
import { mountSteps } from "./steps.js";

const MAX_ROWS = 200;

export class Samples {
  constructor(root, roles) {
    this.root = root;
    this.roles = roles;
    this.list = byId("sample-list");
    this.pending = [];
    this.isHeld = false;
    this.isFiltered = false;
    this.next = null;
    this.asked = 0;
    this.newest = 0;
    this.wire();
  }

  wire() {
    byId("freeze").addEventListener("click", () => this.hold(!this.isHeld));
    byId("samples-new").addEventListener("click", () => this.showPending({ focus: true }));
    byId("samples-more").addEventListener("click", () => this.more());
    byId("sample-step").addEventListener("click", () => this.ofStep(null));
    const form = byId("sample-filter");
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => this.search());
    form.addEventListener("input", debounce(() => this.search(), 300));
    this.list.addEventListener("pointerleave", () => this.flush());
    this.list.addEventListener("keydown", (event) => this.move(event));
  }

  load(rows) {
    this.pending = [];
    this.newest = rows[0]?.seq ?? 0;
    this.next = rows.length >= 50 ? rows.at(-1).seq : null;
    this.list.replaceChildren(...rows.map((row) => this.row(row)));
    this.tellPending();
    this.tellEmpty();
  }

  get filter() {
    const data = Object.fromEntries(new FormData(byId("sample-filter")));
    if (data.show === "all") data.show = "";
    return { ...data, step: this.step ?? "" };
  }

  async search() {
    const { filter } = this;
    const asked = (this.asked += 1);
    this.isFiltered = Object.values(filter).some((value) => value !== "");
    this.list.setAttribute("aria-busy", "true");
    const { rows, next } = await fetchJson(`${this.root}samples/`, filter);
    if (asked !== this.asked) return;
    this.list.removeAttribute("aria-busy");
    this.load(rows);
    this.next = next;
    this.tellEmpty();
    announce(rows.length ? `${rows.length}${next ? " or more" : ""} samples` : "No sample matches");
  }

  /** Only samples of one step; null shows all steps again. */
  ofStep(step) {
    this.step = step;
    const chip = byId("sample-step");
    chip.hidden = step === null;
    chip.textContent = step === null ? "" : `step ${step} ×`;
    chip.setAttribute("aria-label", `Only step ${step}. Show all steps`);
    return this.search();
  }

  async more() {
    const { rows, next } = await fetchJson(`${this.root}samples/`, { ...this.filter, before: this.next });
    const first = this.row(rows[0]);
    this.list.append(first, ...rows.slice(1).map((row) => this.row(row)));
    this.next = next;
    this.tellEmpty();
    first.querySelector("summary").focus();
  }

  add(rows) {
    if (this.isFiltered) return;
    const unseen = rows.filter((row) => row.seq > this.newest);
    this.newest = unseen.at(-1)?.seq ?? this.newest;
    this.pending.push(...unseen);
    this.flush();
  }

  get isRead() {
    return this.isHeld || this.list.matches(":hover, :focus-within") || this.list.querySelector("details[open]") !== null || this.list.scrollTop > 40;
  }

  flush() {
    if (this.pending.length && !this.isRead) this.showPending();
    else this.tellPending();
  }

  showPending({ focus = false } = {}) {
    const rows = this.pending.splice(0).slice(-MAX_ROWS).reverse();
    this.list.prepend(...rows.map((row) => this.row(row, true)));
    for (const old of [...this.list.children].slice(MAX_ROWS)) if (!old.querySelector("details[open]")) old.remove();
    if (this.list.children.length >= MAX_ROWS) this.next = Number(this.list.lastElementChild.dataset.seq);
    if (focus) {
      this.list.scrollTop = 0;
      this.list.querySelector("summary")?.focus();
    }
    this.tellPending();
    this.tellEmpty();
  }

  hold(isHeld) {
    this.isHeld = isHeld;
    byId("freeze").setAttribute("aria-pressed", String(isHeld));
    byId("freeze-word").textContent = isHeld ? "Let it run" : "Hold still";
    if (!isHeld) this.flush();
  }

  tellPending() {
    const button = byId("samples-new");
    const count = this.pending.length;
    button.hidden = count === 0;
    button.textContent = count === 1 ? "1 new sample" : `${count} new samples`;
  }

  tellEmpty() {
    const empty = byId("samples-empty");
    empty.hidden = this.list.children.length > 0;
    empty.textContent = this.isFiltered
      ? "No sample matches. Choose another kind, role or word."
      : "Samples appear here with the first step: what every role wrote, and what it was rewarded for.";
    byId("samples-more").hidden = this.next === null;
  }

  move(event) {
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    const summary = event.target.closest("summary");
    if (!step || !summary || event.ctrlKey || event.metaKey || event.altKey) return;
    const summaries = [...this.list.querySelectorAll(":scope > li > details > summary")];
    const next = summaries[summaries.indexOf(summary) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  row(row, isNew = false) {
    const body = el("div", { className: "sample-row__body" });
    const details = el("details", {}, this.summary(row), body);
    details.addEventListener("toggle", () => {
      if (details.open) this.fill(body, row.seq);
      else this.flush();
    });
    const item = el("li", { className: "sample-row" }, details);
    item.dataset.seq = row.seq;
    if (isNew) item.dataset.new = "";
    return item;
  }

  summary(row) {
    const chips = el("span", { className: "sample-row__chips" });
    if (row.why) chips.append(chip(row.kept === false ? "rejected" : "discarded", "plain", row.why));
    else if (row.kept === false) chips.append(chip("rejected", "plain"));
    if (row.zero_signal) chips.append(chip("no signal", "plain", "None of its completions is better than another"));
    if (row.layout !== "thread") chips.append(...shapeChips(row));
    if (row.layout === "game") return this.titled(row, chips);
    const judgesLast = row.roles.toSorted((a, b) => a.role.includes("judge") - b.role.includes("judge"));
    for (const tally of judgesLast) {
      const known = tally.right + tally.wrong;
      if (tally.role.includes("judge")) {
        if (row.disagrees) chips.append(chip(`judge wrong on ${row.disagrees} of ${known}`, "bad"));
        else if (known) chips.append(chip("judge agrees", "good"));
      } else if (known && tally.count > 1) {
        chips.append(chip(`${tally.right} of ${known} right`, tally.right === known ? "good" : tally.right === 0 ? "bad" : "plain"));
      }
    }
    return this.titled(row, chips);
  }

  titled(row, chips) {
    return el("summary", {},
      el("span", { className: "sample-row__step" }, el("span", { className: "visually-hidden" }, "step "), String(row.step)),
      el("span", { className: "sample-row__title" }, row.title || "(untitled)"),
      chips);
  }

  async fill(body, seq) {
    if (body.dataset.state === "filled") return;
    body.setAttribute("aria-busy", "true");
    body.replaceChildren(el("p", { className: "soft small" }, "Opening…"));
    try {
      body.replaceChildren(...await fetchPart(`${this.root}samples/${seq}/?part`));
      mountSteps(body);
      mountReading(body);
      body.dataset.state = "filled";
    } catch {
      body.replaceChildren(el("p", { className: "field__error" }, "This sample could not be read. Close it and open it again; a later attempt of the run may have replaced it."));
    }
    body.removeAttribute("aria-busy");
  }
}

/** What a sample is made of where it is no thread, and how a game ended. */
function shapeChips(row) {
  if (row.layout === "pairs") return [chip(counted(row.num_pairs, "pair"), "plain")];
  if (row.layout === "tree") return [chip(counted(row.num_turns, "node"), "plain")];
  const illegal = row.roles.reduce((total, tally) => total + tally.wrong, 0);
  const chips = [chip(counted(row.num_turns, "move"), "plain")];
  if (illegal) chips.push(chip(`${illegal} not legal`, "bad"));
  if (row.result !== null && !row.title.includes(row.result)) chips.push(chip(row.result, "plain"));
  return chips;
}

const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

function chip(text, tone, title = "") {
  return el("span", { className: `chip chip--${tone}`, title }, text);
}
