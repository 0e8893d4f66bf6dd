/** The shell of every page: colour scheme, menus, relative times, questions before irreversible acts, connection loss. */

import { announceTheme } from "./theme.js";

const YEAR_S = 365 * 24 * 3600;

function mountThemeSwitch() {
  for (const group of document.querySelectorAll("[data-theme-switch]")) {
    group.hidden = false;
    group.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const secure = location.protocol === "https:" ? "; Secure" : "";
      document.cookie = `theme=${button.value}; Path=/; SameSite=Lax; Max-Age=${button.value ? YEAR_S : 0}${secure}`;
      if (button.value) document.documentElement.dataset.theme = button.value;
      else delete document.documentElement.dataset.theme;
      for (const other of document.querySelectorAll("[data-theme-switch] button")) {
        other.setAttribute("aria-pressed", String(other.value === button.value));
      }
      announceTheme();
    });
  }
}

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (menu !== except) menu.open = false;
  }
}

function mountMenus() {
  document.addEventListener("click", (event) => closeMenus(event.target.closest("details[data-menu]")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = event.target.closest?.("details[data-menu][open]");
    closeMenus();
    open?.querySelector("summary").focus();
  });
}

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** Words for a moment: "3 minutes ago". */
export function ago(iso, now = Date.now()) {
  const seconds = (Date.parse(iso) - now) / 1000;
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
  return relative.format(Math.trunc(seconds / length), unit);
}

function refreshTimes(root = document) {
  for (const time of root.querySelectorAll("time[data-ago]")) {
    const words = ago(time.dateTime);
    if (time.textContent !== words) time.textContent = words;
  }
}

/** Say something to screen readers. */
export function announce(words) {
  const region = document.getElementById("announcements");
  if (region) region.textContent = words;
}

function mountQuestions() {
  // Capture, so that the question comes before htmx sends anything.
  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.ask ?? event.target.dataset.ask;
    if (question && !window.confirm(question)) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
  }, { capture: true });
}

function mountCopy() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.value ?? source.textContent);
      announce("Copied.");
      button.querySelector("[data-copy-word]")?.replaceChildren("Copied");
    } catch {
      source.focus();
      source.select?.();
      announce("Press Control and C to copy the selected text.");
    }
  });
}

function mountConnection() {
  const note = document.getElementById("offline");
  const lost = (event) => {
    const status = event.detail?.ctx?.response?.raw?.status;
    note.textContent = status === 403
      ? "You are not allowed to do this, or your session has ended. Reload the page."
      : "No answer from the server. Trying again…";
    note.hidden = false;
  };
  document.addEventListener("htmx:error", lost);
  document.addEventListener("htmx:response:error", lost);
  document.addEventListener("htmx:after:swap", () => { note.hidden = true; refreshTimes(); });
  window.addEventListener("offline", lost);
  window.addEventListener("online", () => { note.hidden = true; });
}

mountThemeSwitch();
mountMenus();
mountQuestions();
mountCopy();
mountConnection();
refreshTimes();
setInterval(refreshTimes, 10_000);
