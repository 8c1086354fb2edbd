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
  if (cell.recorded) {
    bar.append("Recorded: this cell needs threads or sockets, and a web page has neither. This is what it gave.");
  } else {
    const act = (what) => async () => (await loaded())[what](cell.id);
    bar.append(
      button(`Run cell ${number}`, "▶ Run", act("run")),
      button(`Run to here: run all cells above cell ${number}, and it`, "⇈ Run to here", act("runTo")),
      button(`Edit cell ${number}`, "Edit", act("edit")),
    );
    if (cell.role === "check" && cell.exercise)
      for (const [what, text] of [["hint", "Hint"], ["solution", "Solution"]])
        bar.append(
          button(`${text} for ${cell.exercise}`, text, async () => (await loaded()).ask(cell.id, what)),
        );
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
    said.textContent = `The cells below run in this page. The first Run loads Python, about ${DOWNLOAD}, from this site; your browser keeps it.`;
    element(first.id).before(said);
  }
  try {
    const { edits = {} } = JSON.parse(localStorage.getItem("dog-eared")) ?? {};
    if (Object.keys(edits).some((name) => name.startsWith(`${lesson.lesson}/`))) loaded();
  } catch {
    // nothing is kept here
  }
}
