/**
 * The time axis of the whole page. Its place is the step that everything shows, or none while the page follows the run;
 * it is part of the address, so that a link leads to a moment. Tells the page "moment" with a step or null.
 */

import { announce } from "../js/shell.js";
import { byId, debounce, el, fetchJson } from "./dom.js";
import { byWeight, glyph, sentence } from "./marks.js";

const CLOSE_PX = 11;
const MOST_LISTED = 200;
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export class Scrubber {
  constructor(page) {
    this.page = page;
    this.bar = byId("scrubber");
    this.range = byId("scrub-range");
    this.marks = [];
    this.known = new Map();
    this.timer = 0;
    this.askSoon = debounce((step) => this.ask(step), 120);
    this.addressSoon = debounce(() => this.writeAddress(), 250); // browsers allow a hundred changes in half a minute
    this.range.addEventListener("input", () => { this.pause(); this.go(Number(this.range.value)); });
    byId("scrub-play").addEventListener("click", () => (this.timer ? this.pause() : this.play()));
    byId("scrub-speed").addEventListener("change", () => { if (this.timer) this.play(); });
    byId("scrub-live").addEventListener("click", () => this.toNow());
    byId("scrub-before").addEventListener("click", () => this.toMark(-1));
    byId("scrub-after").addEventListener("click", () => this.toMark(1));
    byId("scrub-marks").addEventListener("click", (event) => this.follow(event));
    byId("scrub-list").addEventListener("click", (event) => this.follow(event));
    document.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(debounce(() => this.drawMarks(), 100)).observe(byId("scrub-marks"));
  }

  get last() {
    return this.page.state.step;
  }

  get at() {
    return this.page.at;
  }

  /** Take up the place the page was asked for. */
  begin(at) {
    this.follows();
    if (at !== null) this.go(at);
  }

  /** The run went on. */
  follows() {
    this.bar.hidden = this.last < 1;
    if (this.range.max !== String(Math.max(1, this.last))) {
      this.range.max = Math.max(1, this.last);
      this.drawSoon ??= debounce(() => this.drawMarks(), 400);
      this.drawSoon();
    }
    if (this.at === null) this.range.value = this.last;
    this.tell();
  }

  go(step) {
    const place = Math.min(Math.max(0, step), this.last);
    if (this.page.at === place) return;
    this.page.at = place;
    this.range.value = place;
    this.tell();
    this.page.tell("moment", place);
    this.askSoon(place);
    this.addressSoon();
  }

  toNow() {
    this.pause();
    if (this.at === null) return;
    this.page.at = null;
    this.range.value = this.last;
    this.tell();
    this.page.tell("moment", null);
    this.addressSoon();
    announce("Showing the run as it is now.");
  }

  /** When that was and how the run did, once the person has stopped there for a moment. */
  async ask(step) {
    if (!this.known.has(step)) {
      if (this.known.size > 500) this.known.clear();
      this.known.set(step, fetchJson(`${this.page.root}moment/`, { at: step }));
    }
    try {
      const found = await this.known.get(step);
      if (this.at !== step) return;
      this.time = found.t;
      this.tell();
      this.page.tell("vitals", found.vitals);
    } catch {
      this.known.delete(step);
    }
  }

  play() {
    clearInterval(this.timer);
    if (this.at === null || this.at >= this.last) this.go(0);
    this.timer = setInterval(() => {
      if (this.at === null || this.at >= this.last) this.pause();
      else this.go(this.at + 1);
    }, 1000 / Number(byId("scrub-speed").value));
    this.tellPlaying();
  }

  pause() {
    clearInterval(this.timer);
    this.timer = 0;
    this.tellPlaying();
  }

  tellPlaying() {
    const button = byId("scrub-play");
    const isPlaying = Boolean(this.timer);
    button.setAttribute("aria-label", isPlaying ? "Pause" : "Play from here");
    button.setAttribute("aria-pressed", String(isPlaying));
    button.querySelector("path").setAttribute("d", isPlaying ? "M8 4v16 M16 4v16" : "M7 4l13 8-13 8z");
  }

  tell() {
    const isNow = this.at === null;
    byId("scrub-live").hidden = isNow;
    this.bar.toggleAttribute("data-past", !isNow);
    const step = isNow ? this.last : this.at;
    const when = !isNow && this.time ? `, ${clock.format(this.time * 1000)}` : "";
    const total = this.page.state.total_steps; // 0 where nobody knows: of a run elsewhere that goes on
    const among = total ? ` of ${total.toLocaleString("en")}` : "";
    byId("scrub-place").textContent = `Step ${step.toLocaleString("en")}${among}${isNow ? "" : when}`;
    this.range.setAttribute("aria-valuetext", `step ${step}`);
    this.bar.style.setProperty("--place", `${(100 * step) / Math.max(1, this.last)}%`);
  }

  writeAddress() {
    const address = new URL(location.href);
    if (this.at === null) address.searchParams.delete("at");
    else address.searchParams.set("at", this.at);
    history.replaceState(null, "", address);
  }

  /** , and . go a step back and on, Shift to the mark before and the next; anywhere but where one types. */
  key(event) {
    const way = { ",": -1, ".": 1, "<": -1, ">": 1 }[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
    event.preventDefault();
    this.pause();
    if (event.shiftKey) this.toMark(way);
    else this.go((this.at ?? this.last) + way);
  }

  toMark(way) {
    this.pause();
    const here = this.at ?? this.last;
    const steps = [...new Set(this.marks.map((mark) => mark.step))].sort((a, b) => a - b);
    const next = way > 0 ? steps.find((step) => step > here) : steps.findLast((step) => step < here);
    if (next !== undefined) this.go(next);
    announce(next === undefined ? "No further mark." : `Step ${next}: ${this.marks.filter((mark) => mark.step === next).map(sentence).join("; ")}`);
  }

  follow(event) {
    const link = event.target.closest("[data-step]");
    if (!link) return;
    event.preventDefault();
    this.pause();
    this.go(Number(link.dataset.step));
  }

  take(marks) {
    this.marks = [...marks].sort((a, b) => a.step - b.step);
    this.drawMarks();
  }

  add(mark) {
    this.take([...this.marks, mark]);
  }

  alert(alerts) {
    this.take([...this.marks.filter((mark) => mark.kind !== "alert"), ...alerts]);
  }

  /** Marks that would lie on each other become one, drawn as the weightiest of them. */
  drawMarks() {
    const place = byId("scrub-marks");
    const width = place.clientWidth, last = Math.max(1, this.last);
    const groups = [];
    for (const mark of this.marks) {
      const x = (width * mark.step) / last;
      if (groups.length && x - groups.at(-1).x < CLOSE_PX) groups.at(-1).marks.push(mark);
      else groups.push({ x, marks: [mark] });
    }
    place.replaceChildren(...groups.map(({ x, marks }) => this.flag(x, marks)));
    byId("scrub-count").textContent = this.marks.length === 1 ? "1 mark" : `${this.marks.length} marks`;
    const listed = this.marks.slice(-MOST_LISTED).reverse().map((mark) => el("li", {}, this.link(mark)));
    byId("scrub-list").replaceChildren(...(listed.length ? listed : [el("li", { className: "menu__item soft" }, "Checkpoints, changes, alerts and restarts are marked here.")]));
  }

  flag(x, marks) {
    const [first] = marks.toSorted(byWeight);
    const words = marks.length === 1 ? sentence(first) : `${marks.length} marks: ${marks.slice(0, 6).map(sentence).join("; ")}`;
    const flag = el("a", { className: "scrubber__mark", href: this.address(first.step), title: words, tabIndex: -1, ariaLabel: words }, glyph(first.kind));
    flag.dataset.step = first.step;
    flag.style.left = `${x}px`;
    return flag;
  }

  link(mark) {
    const link = el("a", { className: "menu__item", href: this.address(mark.step) }, glyph(mark.kind), sentence(mark));
    link.dataset.step = mark.step;
    return link;
  }

  address(step) {
    return `${this.page.root}?at=${step}`;
  }
}
