/** The log's tail: follows new lines while the end is in view, and asks the server for older or matching ones. */

import { byId, debounce, el, fetchJson } from "./dom.js";

const MAX_LINES = 1000;
const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** Content of the tab: asks for the newest lines and follows the run from there. */
export function mount(_, page) {
  const log = new Log(page.root);
  page.on("events", (events) => log.add(events.filter(isLine).map(toRow)));
  page.on("again", () => log.search());
  page.on("shown", (slug) => { if (slug === "log") log.toEnd(); });
  return log.search();
}

const isLine = (event) => event.kind === "log" || event.kind === "state";
const toRow = (event) => ({ ...event.data, level: event.data.level ?? "state", seq: event.seq, step: event.step, t: event.t });

class Log {
  constructor(root) {
    this.root = root;
    this.list = byId("log-list");
    this.box = byId("log-scroll");
    this.next = null;
    this.newest = 0;
    this.asked = 0;
    this.isAsking = false;
    this.meanwhile = [];
    const form = byId("log-filter");
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => this.search());
    form.addEventListener("input", debounce(() => this.search(), 300));
    byId("log-older").addEventListener("click", () => this.older());
  }

  get filter() {
    return Object.fromEntries(new FormData(byId("log-filter")));
  }

  /** `rows` come newest first and are shown oldest first. */
  load(rows, next) {
    this.next = next;
    this.newest = rows[0]?.seq ?? 0;
    this.list.replaceChildren(...rows.toReversed().map(line));
    this.tell();
    this.toEnd();
  }

  async search() {
    const asked = (this.asked += 1);
    this.isAsking = true;
    const { rows, next } = await fetchJson(`${this.root}log/`, this.filter);
    if (asked !== this.asked) return;
    this.isAsking = false;
    this.load(rows, next);
    this.add(this.meanwhile.splice(0));
  }

  async older() {
    const { rows, next } = await fetchJson(`${this.root}log/`, { ...this.filter, before: this.next });
    const height = this.box.scrollHeight;
    this.list.prepend(...rows.toReversed().map(line));
    this.next = next;
    this.tell();
    this.box.scrollTop += this.box.scrollHeight - height;
  }

  add(rows) {
    if (this.isAsking) {
      this.meanwhile.push(...rows);
      return;
    }
    const { level, text } = this.filter;
    const wanted = rows.filter((row) => row.seq > this.newest && (!level || row.level === level) && row.text.toLowerCase().includes(text.toLowerCase()));
    if (!wanted.length) return;
    const atEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 40;
    this.list.append(...wanted.map(line));
    if (atEnd) {
      while (this.list.children.length > MAX_LINES) this.list.firstElementChild.remove();
      this.toEnd();
    }
    this.tell();
  }

  toEnd() {
    this.box.scrollTop = this.box.scrollHeight;
  }

  tell() {
    byId("log-older").hidden = this.next === null;
    byId("log-empty").hidden = this.list.children.length > 0;
  }
}

function line(row) {
  const item = el("li", { className: "log__line" },
    el("span", { className: "log__time" }, time.format(row.t * 1000)),
    el("span", { className: "log__level" }, row.level === "state" ? "phase" : row.level),
    el("span", { className: "log__step" }, `step ${row.step}`),
    el("span", { className: "log__text" }, row.text));
  item.dataset.level = row.level;
  return item;
}
