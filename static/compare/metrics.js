/** Finding metrics by words or by a regular expression; what is chosen stays in sight. */
export function mountMetrics(form, announce) {
  const find = form.querySelector("[data-find]");
  const words = form.querySelector("[data-find-words]");
  const items = [...form.querySelectorAll("[data-metrics] > li")];
  const hint = words.textContent;

  find.addEventListener("input", (event) => {
    event.stopPropagation();
    let pattern;
    try {
      pattern = new RegExp(find.value.trim(), "i");
    } catch {
      words.textContent = "This regular expression is not finished.";
      return;
    }
    const shown = items.filter((item) => {
      const box = item.querySelector("input");
      item.hidden = !box.checked && !pattern.test(box.value);
      return !item.hidden;
    });
    words.textContent = find.value ? `${shown.length} of ${items.length} metrics.` : hint;
  });
  find.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const first = items.find((item) => !item.hidden && !item.querySelector("input").checked)?.querySelector("input");
    if (!first) return;
    first.click();
    announce(`${first.value} is drawn.`);
  });
}
