/** The bell: how many notices wait, asked for now and then while the page is seen, and told by the system where that was allowed. */

const EVERY_MS = 30_000;
const bell = document.querySelector("[data-bell]");
const count = bell?.querySelector("[data-bell-count]");

function read(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

function write(name, value) {
  try { localStorage.setItem(name, value); } catch { /* Without storage nothing is remembered. */ }
}

const wants = () => "Notification" in window && Notification.permission === "granted" && read("notify") === "on";

async function look() {
  if (document.hidden && !wants()) return;
  const after = read("notices-after") ?? "";
  let answer;
  try {
    const response = await fetch(`${bell.dataset.news}?after=${after}`, { headers: { Accept: "application/json" } });
    if (!response.ok || response.redirected) return;
    answer = await response.json();
  } catch {
    return; // The next look tries again.
  }
  count.textContent = answer.unread ? String(answer.unread) : "";
  bell.setAttribute("aria-label", answer.unread ? `Notices, ${answer.unread} unread` : "Notices");
  // One tab tells, whichever asks first: the place is written before anything is shown.
  if (read("notices-after") !== (after || null)) return;
  write("notices-after", String(answer.newest));
  if (wants()) for (const notice of answer.news) show(notice);
}

function show(notice) {
  const shown = new Notification(notice.title, { body: notice.text, tag: `kumite-${notice.id}` });
  shown.addEventListener("click", () => { window.focus(); location.assign(notice.url); });
}

function mountToggle() {
  const button = document.querySelector("[data-notify-toggle]");
  if (!button || !("Notification" in window)) return;
  document.getElementById("browser-notices").hidden = false;
  const word = document.querySelector("[data-notify-word]");
  const tell = () => {
    button.setAttribute("aria-pressed", String(wants()));
    word.textContent = Notification.permission === "denied"
      ? "This browser was told to refuse them for this site. Allow them in its settings first."
      : wants() ? "This browser shows them." : "";
  };
  button.addEventListener("click", async () => {
    if (wants()) {
      write("notify", "off");
    } else if (await Notification.requestPermission() === "granted") {
      write("notify", "on");
    }
    tell();
  });
  tell();
}

if (bell) {
  look();
  setInterval(look, EVERY_MS);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
}
mountToggle();
