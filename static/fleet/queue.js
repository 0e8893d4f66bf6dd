// The queue of the Fleet page: a row can be dragged to another place. Its arrows do the same without a pointer.

const live = document.getElementById("fleet-live");
let held = null;
let target = null;

live.addEventListener("dragstart", (event) => {
  held = event.target.closest?.("tr.queued") ?? null;
  if (!held) return;
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", held.dataset.run);
  held.classList.add("queued--held");
});

live.addEventListener("dragover", (event) => {
  const row = event.target.closest?.("tr.queued");
  if (!held || !row) return;
  event.preventDefault();
  const box = row.getBoundingClientRect();
  show({ row, isAfter: event.clientY > box.top + box.height / 2 });
});

live.addEventListener("drop", (event) => {
  if (!held || !target) return;
  event.preventDefault();
  const next = target.isAfter ? target.row.nextElementSibling : target.row;
  if (next !== held) move(held, next?.dataset.run ?? held.closest("table").dataset.next);
});

live.addEventListener("dragend", () => {
  held?.classList.remove("queued--held");
  show(null);
  held = null;
});

// What is under the pointer must not be exchanged by the page's regular look at the queue.
live.addEventListener("htmx:before:request", (event) => {
  if (held && event.target === live) event.preventDefault();
});

function show(place) {
  target?.row.classList.remove("queued--before", "queued--after");
  target = place;
  target?.row.classList.add(target.isAfter ? "queued--after" : "queued--before");
}

function move(row, before) {
  const form = row.querySelector("form.place");
  const field = document.createElement("input");
  field.type = "hidden";
  field.name = "before";
  field.value = before;
  form.append(field);
  form.submit();
}
