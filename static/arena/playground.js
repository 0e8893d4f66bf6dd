/** The playground's keys: Control or Command and Enter send the form. Focus stays where it was when the form is redrawn. */

let lastId = "";

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const form = event.target.closest("#bench-form");
  if (!form?.querySelector("[type=submit]")) return;
  event.preventDefault();
  form.requestSubmit();
});

document.addEventListener("change", (event) => {
  if (event.target.closest("[data-keeps-focus]")) lastId = event.target.id;
});

document.addEventListener("htmx:after:swap", () => {
  if (!lastId) return;
  document.getElementById(lastId)?.focus();
  lastId = "";
});
