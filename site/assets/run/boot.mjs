// On every page; all that it does before a click is to put the buttons there.
const DOWNLOAD = "12 MB"; // a test holds this to the bundle's size
const place = document.getElementById("de-lesson");
const lesson = place && JSON.parse(place.textContent);
const element = (id) => document.getElementById(`cell-${id}`);

let page;
const loaded = () => (page ??= import("./page.mjs").then(({ open }) => open(lesson)));

function button(label, text, act) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", className: "de-button", textContent: text, title: label });
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}

function equip(cell, number) {
  const home = element(cell.id);
  if (!home) return;
  const bar = document.createElement("div");
  bar.className = "de-bar";
  const shown = document.createElement("span");
  Object.assign(shown, { className: "de-number", textContent: number });
  shown.setAttribute("aria-hidden", "true"); // the buttons name it
  bar.append(shown);
  if (cell.recorded) {
    const said = document.createElement("span");
    said.className = "de-recorded";
    const gave = home.querySelector("[data-output]")?.hasChildNodes() ? "This is what it gave." : "";
    said.textContent = `Recorded: this cell needs threads, sockets or a server, and a web page has none. ${gave}`;
    bar.append(said);
  } else {
    const act = (what) => async () => (await loaded())[what](cell.id);
    bar.append(button(`Run cell ${number}`, "▶ Run", act("run")));
    if (number > 1)
      bar.append(button(`Run to here: run all cells above cell ${number}, and it`, "⇈ Run to here", act("runTo")));
    bar.append(button(`Edit cell ${number}`, "Edit", act("edit")));
    const code = home.querySelector("pre");
    code?.addEventListener("click", async ({ clientX, clientY, target }) => {
      if (!target.closest("a, button") && getSelection().isCollapsed)
        (await loaded()).edit(cell.id, { x: clientX, y: clientY });
    });
  }
  home.prepend(bar);
}

if (lesson && lesson.run !== false) {
  let number = 0;
  for (const cell of lesson.cells) equip(cell, (number += 1));
  const first = lesson.cells.find((cell) => element(cell.id));
  if (first) {
    const said = document.createElement("p");
    said.className = "de-runs";
    const what = lesson.cells.length === 1 ? "The cell below runs" : "The cells below run";
    said.textContent = `${what} in this page. The first Run loads Python, about ${DOWNLOAD}, from this site; your browser keeps it.`;
    element(first.id).before(said);
  }
  try {
    const { edits = {} } = JSON.parse(localStorage.getItem("dog-eared")) ?? {};
    if (Object.keys(edits).some((name) => name.startsWith(`${lesson.lesson}/`))) loaded();
  } catch {
    // nothing is kept here
  }
}
