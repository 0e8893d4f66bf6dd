/**
 * The review page under the fingers: 1 agree or right, 2 overrule or wrong, 3 unclear, e explain, j and k move, z take back.
 * Every answer is sent at once, so nothing is lost when the page is left.
 */

import { announce } from "../js/shell.js";
import { byId, fetchPart } from "../run/dom.js";

const page = byId("review");
if (page) mount(JSON.parse(byId("review-config").textContent));

function mount({ items, here }) {
  const region = byId("review-item");
  const showJudge = byId("show-judge");
  const places = here && !items.some((item) => same(item, here)) ? [here, ...items] : items;
  const answered = new Set();
  let at = Math.max(0, places.findIndex((item) => same(item, here)));
  let isBusy = false;

  showJudge.checked = localStorage.getItem("review-judge") === "shown";
  showJudge.closest("label").hidden = false;
  showJudge.addEventListener("change", () => {
    localStorage.setItem("review-judge", showJudge.checked ? "shown" : "hidden");
    dress();
  });

  const ask = () => region.querySelector(".ask");

  /** Open the judge where it may be seen, and offer the answers that fit. */
  function dress() {
    const judge = ask().querySelector("[data-judge]");
    if (showJudge.checked) judge.open = true;
    ask().toggleAttribute("data-judge-shown", judge.open);
    judge.addEventListener("toggle", () => ask().toggleAttribute("data-judge-shown", judge.open));
    const left = places.length - answered.size;
    page.querySelector("[data-place]").textContent = `${at + 1} of ${places.length}${answered.size ? `, ${left} still to answer` : ""}`;
    for (const button of page.querySelectorAll("[data-move]")) {
      button.hidden = false;
      button.disabled = !places[at + Number(button.dataset.move)];
    }
    history.replaceState(null, "", `?${new URLSearchParams({ ...keep(), ...places[at] })}`);
  }

  async function replaceWith(part) {
    isBusy = true;
    ask().setAttribute("aria-busy", "true");
    try {
      region.replaceChildren(...await part);
      dress();
    } catch {
      announce("No answer from the server. Nothing was lost; try again.");
      ask().removeAttribute("aria-busy");
    }
    isBusy = false;
  }

  async function move(by) {
    if (isBusy || !places[at + by]) return;
    at += by;
    await replaceWith(fetchPart(`${page.dataset.itemUrl}?${new URLSearchParams(places[at])}`));
    ask().querySelector("h2").scrollIntoView({ block: "nearest" });
  }

  async function send(form, button) {
    if (isBusy) return;
    const data = new FormData(form);
    if (button?.name) data.set(button.name, button.value);
    if (ask().hasAttribute("data-judge-shown")) data.set("saw_judge", "1");
    data.set("part", "1");
    const answer = await post(form.action, data).catch(() => null);
    if (answer?.length === 0) return announce("There is nothing to take back.");
    await replaceWith(answer ?? Promise.reject(new Error("no answer")));
    const now = ask().dataset;
    const place = places.findIndex((item) => item.run === now.run && item.episode === now.episode && item.turn === now.turn);
    if (place >= 0) at = place;
    else places.unshift({ run: now.run, episode: now.episode, turn: now.turn }), at = 0;
    if ("answered" in now) answered.add(keyOf(places[at]));
    else answered.delete(keyOf(places[at]));
    dress();
    const said = region.querySelector(".notice");
    announce(said ? said.textContent.trim() : "Taken back.");
    byId("review-side").replaceChildren(...await fetchPart(page.dataset.sideUrl));
  }

  region.addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.target, event.submitter);
  });
  byId("review-undo")?.addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.currentTarget);
  });
  for (const button of page.querySelectorAll("[data-move]")) {
    button.addEventListener("click", () => move(Number(button.dataset.move)));
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input:not([type=checkbox]), textarea, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "z") byId("review-undo")?.requestSubmit();
    else if (event.key === "e") explain();
    else if (["1", "2", "3"].includes(event.key)) press(event.key);
    else return;
    event.preventDefault();
  });

  function press(key) {
    const shown = ask().hasAttribute("data-judge-shown") ? "shown" : "hidden";
    const button = [...ask().querySelectorAll(`[data-key="${key}"]`)].find((each) => (each.closest("[data-when]")?.dataset.when ?? shown) === shown);
    if (button) send(button.form, button);
  }

  function explain() {
    const note = ask().querySelector("[data-note]");
    if (!note) return;
    note.open = true;
    note.querySelector("textarea").focus();
  }

  dress();
}

function keyOf(item) {
  return `${item.run} ${item.episode} ${item.turn}`;
}

function same(one, other) {
  return Boolean(one && other) && keyOf(one) === keyOf(other);
}

/** The choice of a run stays in the address. */
function keep() {
  const of = new URLSearchParams(location.search).get("of");
  return of ? { of } : {};
}

async function post(url, data) {
  const response = await fetch(url, { method: "POST", body: data });
  if (response.redirected && response.url.includes("/accounts/login")) location.reload();
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return [...new DOMParser().parseFromString(await response.text(), "text/html").body.childNodes];
}
