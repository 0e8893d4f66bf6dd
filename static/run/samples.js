/**
 * The stream of samples. New ones appear on top by themselves only while nobody reads: an open sample, the pointer or
 * the keyboard in the list, or the button, hold it still, and what comes meanwhile is counted.
 */

import { announce } from "../js/shell.js";
import { byId, debounce, el, fetchJson, fetchPart } from "./dom.js";
import { mountReading } from "./reading.js";
import { lineOf } from "./sample_line.js";
import { mountSteps } from "./steps.js";

const MAX_ROWS = 200;
const PRACTICE = "practice";

/** Where the list shows a sample: the newest step first, in a step what was answered, then the newest. */
const placeOf = ({ step, rank, seq }) => [step, rank, seq];

function isAbove(one, other) {
  const apart = one.findIndex((value, index) => value !== other[index]);
  return apart >= 0 && one[apart] > other[apart];
}

export class Samples {
  constructor(root, roles) {
    this.root = root;
    this.roles = roles;
    this.list = byId("sample-list");
    this.pending = [];
    this.kinds = {};
    this.step = null;
    this.isHeld = false;
    this.isFiltered = false;
    this.next = null;
    this.asked = 0;
    this.early = null;
    this.wire();
  }

  wire() {
    byId("freeze").addEventListener("click", () => this.hold(!this.isHeld));
    byId("samples-new").addEventListener("click", () => this.showPending({ focus: true }));
    byId("samples-more").addEventListener("click", () => this.more());
    byId("sample-step").addEventListener("click", () => this.ofStep(null));
    const form = byId("sample-filter");
    form.addEventListener("submit", (event) => event.preventDefault());
    const soon = debounce(() => this.search(), 300);
    form.addEventListener("change", ({ target }) => { if (target.type !== "search") this.search(); });
    form.addEventListener("input", ({ target }) => { if (target.type === "search") soon(); });
    this.list.addEventListener("pointerleave", () => this.flush());
    this.list.addEventListener("keydown", (event) => this.move(event));
  }

  load(rows, kinds, next = rows.length >= 50 ? rows.at(-1).seq : null) {
    this.pending = [];
    this.next = next;
    this.kinds = kinds;
    this.list.replaceChildren(...rows.map((row) => this.row(row)));
    this.tellPending();
    this.tellEmpty();
    this.tellKinds();
  }

  get filter() {
    const data = Object.fromEntries(new FormData(byId("sample-filter")));
    if (data.show === "all") data.show = "";
    return { ...data, step: this.step ?? "" };
  }

  /** Whether a new sample belongs to the kind that is listed. */
  fits(row) {
    const { kind } = this.filter;
    return kind === "played" ? row.kind !== PRACTICE : kind === "" || row.kind === kind;
  }

  async search() {
    const { filter } = this;
    const asked = (this.asked += 1);
    this.isFiltered = Object.entries(filter).some(([name, value]) => name !== "kind" && value !== "");
    const early = (this.early = []); // what the run says while the answer travels is not in it
    this.list.setAttribute("aria-busy", "true");
    try {
      const { rows, next, kinds } = await fetchJson(`${this.root}samples/`, filter);
      if (asked !== this.asked) return;
      this.early = null; // added below, and not once more
      this.load(rows, kinds, next);
      this.add(early.filter(({ seq }) => seq > Math.max(0, ...rows.map((row) => row.seq))));
      announce(rows.length ? `${rows.length}${next ? " or more" : ""} samples` : "No sample matches");
    } finally {
      if (asked === this.asked) {
        this.early = null;
        this.list.removeAttribute("aria-busy");
      }
    }
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
    this.early?.push(...rows);
    if (this.step === null) for (const { kind } of rows) this.kinds[kind] = (this.kinds[kind] ?? 0) + 1;
    this.tellKinds();
    if (this.isFiltered) return;
    const listed = new Set([...this.list.children].map((item) => item.dataset.seq));
    this.pending.push(...rows.filter((row) => this.fits(row) && !listed.has(String(row.seq))));
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
    this.insert(this.pending.splice(0).sort((a, b) => (isAbove(placeOf(a), placeOf(b)) ? -1 : 1)).slice(0, MAX_ROWS));
    for (const old of [...this.list.children].slice(MAX_ROWS)) if (!old.querySelector("details[open]")) old.remove();
    if (this.list.children.length >= MAX_ROWS) this.next = Number(this.list.lastElementChild.dataset.seq);
    if (focus) {
      this.list.scrollTop = 0;
      this.list.querySelector("summary")?.focus();
    }
    this.tellPending();
    this.tellEmpty();
  }

  /** Rows in order, each where it belongs among those that stand there. */
  insert(rows) {
    let below = this.list.firstElementChild;
    for (const row of rows) {
      while (below && isAbove(below.place, placeOf(row))) below = below.nextElementSibling;
      this.list.insertBefore(this.row(row, true), below);
    }
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

  /** A chip for each kind that there is, with its number; none where all samples are of one kind. */
  tellKinds() {
    const total = Object.values(this.kinds).reduce((sum, count) => sum + count, 0);
    const practice = this.kinds[PRACTICE] ?? 0;
    const counts = { ...this.kinds, played: total - practice, "": practice ? total : 0 };
    for (const label of byId("sample-kinds").querySelectorAll("label")) {
      const { value, checked } = label.querySelector("input");
      const count = counts[value] ?? 0;
      const isAll = count === counts.played && !["played", PRACTICE, ""].includes(value);
      label.hidden = !checked && (!count || isAll);
      label.querySelector("[data-count]").textContent = count.toLocaleString("en");
      if (value === "played") label.querySelector("[data-name]").textContent = practice ? "All but practice" : "All";
    }
    byId("sample-kinds").hidden = Object.values(this.kinds).filter(Boolean).length < 2;
  }

  tellEmpty() {
    const empty = byId("samples-empty");
    empty.hidden = this.list.children.length > 0;
    empty.textContent = this.isFiltered
      ? "No sample matches. Choose another kind, role or word."
      : "Samples appear here with the first step: what every role wrote, and what it was rewarded for.";
    byId("samples-more").hidden = this.next === null;
    byId("sample-legend").hidden = this.list.querySelector(".answer-chip__said") === null;
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
    const details = el("details", {}, el("summary", {}, ...lineOf(row, this.roles)), body);
    details.addEventListener("toggle", () => {
      if (details.open) this.fill(body, row.seq);
      else this.flush();
    });
    const item = el("li", { className: "sample-row" }, details);
    item.place = placeOf(row);
    item.dataset.seq = row.seq;
    if (isNew) item.dataset.new = "";
    return item;
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
