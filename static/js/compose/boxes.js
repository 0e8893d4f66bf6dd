/** The drawing's boxes and the groups' names open their settings, and only those. */

const form = document.getElementById("compose-form");
let open = null;

/** Whether a field lies at one of the paths, or around or below it. */
function belongs(path, paths) {
  return paths.some((each) => path === each || path.startsWith(`${each}.`) || each.startsWith(`${path}.`));
}

/** Show what is open in the form as it stands now; the form's parts may have been exchanged since. */
export function refresh() {
  const door = open?.id && document.getElementById(open.id);
  if (door) open = ofBox(door);
  form.toggleAttribute("data-filtered", open !== null);
  for (const group of form.querySelectorAll(".group")) {
    let shown = 0;
    for (const field of group.querySelectorAll("[data-path]")) {
      const isOn = open === null || (open.group ? open.group === group.id : belongs(field.dataset.path, open.paths));
      field.toggleAttribute("data-off", !isOn);
      shown += isOn;
    }
    group.toggleAttribute("data-off", open !== null && shown === 0);
    group.toggleAttribute("data-on", open !== null && shown > 0);
  }
  const box = document.getElementById("opened");
  box.hidden = open === null;
  if (open) {
    document.getElementById("opened-title").textContent = open.title;
    document.getElementById("opened-help").textContent = open.help;
  }
  const preview = document.getElementById("preview-panel");
  const isTask = open !== null && (open.group === "g-task" || belongs("task", open.paths));
  preview.hidden = open !== null && !isTask;
  if (isTask) preview.open = true;
  showDryRun();
  for (const door of form.querySelectorAll(".flow__door")) {
    if (open && door.id === open.id) door.setAttribute("aria-current", "true");
    else door.removeAttribute("aria-current");
  }
  for (const link of form.querySelectorAll(".jump a")) {
    if (open && link.hash === `#${open.group}`) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

/** The dry run stands below the settings it tries: those of the judge and of the rewards. */
function showDryRun() {
  const panel = document.getElementById("dry-run-panel");
  if (!panel) return;
  const tried = panel.dataset.paths.split(" ");
  const inGroup = (path) => form.querySelector(`[id="${open.group}"] [data-path="${path}"]`) !== null;
  panel.hidden = open !== null && !tried.some((path) => (open.group ? inGroup(path) : belongs(path, open.paths)));
}

function ofBox(door) {
  return { id: door.id, paths: door.dataset.opens.split(" "), title: door.dataset.title, help: door.dataset.help };
}

function ofGroup(link) {
  return { group: link.hash.slice(1), paths: [], title: link.dataset.group, help: link.dataset.help };
}

/** Open a box or a group by its link; ``byKey`` moves the focus to what was opened. */
function openAt(link, byKey) {
  open = link.matches(".flow__door") ? ofBox(link) : ofGroup(link);
  refresh();
  if (byKey) document.getElementById("opened-title").focus();
}

/** Open the group that holds an input, for links from the findings. */
export function openFor(input) {
  const group = input.closest(".group");
  const link = group && form.querySelector(`.jump a[href="#${group.id}"]`);
  if (link && open !== null) openAt(link, false);
}

function isDrawing() {
  return form.querySelector("input[name='view'][value='drawing']").checked;
}

/** The drawing shows one box at a time, the form all settings. */
function changeView() {
  if (!isDrawing()) open = null;
  else if (open === null) {
    const first = form.querySelector(".jump a");
    if (first) open = ofGroup(first);
  }
  refresh();
}

export function mount() {
  form.addEventListener("click", (event) => {
    const link = event.target.closest(".flow__door, .jump a");
    if (!link || !isDrawing()) return;
    event.preventDefault();
    openAt(link, event.detail === 0);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !open?.id || !event.target.closest("#compose-fields")) return;
    document.getElementById(open.id)?.focus();
  });
  for (const radio of form.querySelectorAll("input[name='view']")) radio.addEventListener("change", changeView);
  changeView();
}
