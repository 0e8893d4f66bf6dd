/** Turns the list of anchors into tabs with addresses of their own; without scripts they stay anchors. */

export function mountTabs(nav, onShow) {
  const tabs = [...nav.querySelectorAll("a[href^='#']")];
  const list = document.createElement("div");
  list.className = "tabs__list";
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", nav.getAttribute("aria-label"));
  nav.prepend(list);
  list.append(...tabs);
  for (const tab of tabs) {
    const panel = document.getElementById(tab.hash.slice(1));
    tab.id = `tab-${panel.id}`;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panel.id);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
    panel.removeAttribute("aria-label");
    panel.tabIndex = -1;
    tab.addEventListener("click", (event) => {
      event.preventDefault();
      history.replaceState(null, "", tab.hash);
      show(tab);
    });
  }
  list.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const target = event.key === "Home" ? tabs[0] : event.key === "End" ? tabs.at(-1) : null;
    const next = target ?? (move && tabs[(tabs.indexOf(document.activeElement) + move + tabs.length) % tabs.length]);
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.click();
  });

  function show(current) {
    for (const tab of tabs) {
      const isCurrent = tab === current;
      tab.setAttribute("aria-selected", String(isCurrent));
      tab.tabIndex = isCurrent ? 0 : -1;
      document.getElementById(tab.hash.slice(1)).hidden = !isCurrent;
    }
    bringIntoView();
    onShow(current.hash.slice(1));
  }

  function bringIntoView() {
    const current = list.querySelector("[aria-selected='true']");
    if (current) list.scrollTo({ left: current.offsetLeft - (list.clientWidth - current.offsetWidth) / 2 });
  }

  const fromAddress = () => tabs.find((tab) => tab.hash === location.hash) ?? tabs[0];
  window.addEventListener("hashchange", () => show(fromAddress()));
  new ResizeObserver(bringIntoView).observe(list);
  show(fromAddress());
}
