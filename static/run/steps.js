/**
 * Games and trees: links that each open one part of a sample. Only the part that is open is shown; arrow keys lead to
 * the links that the server named as neighbours, Home and End to the first and the last.
 */

const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", Home: "first", End: "last" };

export function mountSteps(root) {
  for (const steps of root.querySelectorAll("[data-steps]:not([data-stepping])")) mount(steps);
}

function mount(steps) {
  const links = [...steps.querySelectorAll("[data-step]")];
  const parts = links.map((link) => document.getElementById(link.getAttribute("href").slice(1)));
  const bar = steps.querySelector("[data-steps-bar]");
  const place = steps.querySelector("[data-place]");
  let at = 0;

  function towards(direction) {
    if (direction === "first") return 0;
    if (direction === "last") return links.length - 1;
    return links[at].dataset[direction] === undefined ? at : Number(links[at].dataset[direction]);
  }

  function open(index) {
    at = index;
    links.forEach((link, number) => {
      if (number === at) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
      link.setAttribute("tabindex", number === at ? "0" : "-1");
      parts[number].toggleAttribute("data-open", number === at);
    });
    if (place) place.textContent = links[at].dataset.words;
    for (const button of bar?.querySelectorAll("[data-go]") ?? []) {
      button.setAttribute("aria-disabled", String(towards(button.dataset.go) === at));
    }
  }

  /** Bring the open link into view inside its own list or drawing, without moving the page. */
  function reveal() {
    const scroller = links[at].closest("[data-scroller]");
    const outer = scroller.getBoundingClientRect();
    const inner = links[at].getBoundingClientRect();
    if (inner.top < outer.top || inner.bottom > outer.bottom) {
      scroller.scrollTop += inner.top - outer.top - (outer.height - inner.height) / 2;
    }
    if (inner.left < outer.left || inner.right > outer.right) {
      scroller.scrollLeft += inner.left - outer.left - (outer.width - inner.width) / 2;
    }
  }

  steps.addEventListener("click", (event) => {
    const link = event.target.closest("[data-step]");
    const button = event.target.closest("[data-go]");
    if (link) {
      event.preventDefault();
      open(links.indexOf(link));
    } else if (button) {
      open(towards(button.dataset.go));
      reveal();
    }
  });
  steps.addEventListener("keydown", (event) => {
    const direction = KEYS[event.key];
    if (!direction || event.ctrlKey || event.metaKey || event.altKey || !event.target.closest("[data-step], [data-steps-bar]")) return;
    event.preventDefault();
    const wasOnLink = links.includes(event.target.closest("[data-step]"));
    open(towards(direction));
    if (wasOnLink) links[at].focus({ preventScroll: true });
    reveal();
  });
  steps.dataset.stepping = "";
  if (bar) bar.hidden = false;
  open(Math.max(0, links.findIndex((link) => "start" in link.dataset)));
  reveal();
}
