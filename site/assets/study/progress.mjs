// How far the reader has come, where they stopped, what they marked; out to a file and back.
import { exported, imported, load, subscribe, update } from "../run/store.mjs";
import { address, element, many, mount, passes, save, scoresIn, tries } from "./shared.mjs";

mount("study-progress", async (place, { lessons }) => {
  const said = element("p", { role: "status", class: "study-said" });
  const shown = element("div", {});
  const file = element("input", { type: "file", accept: ".json,application/json", onchange: take });
  place.replaceChildren(
    shown,
    element("h2", { id: "file" }, "Out to a file, and back"),
    element("p", {}, "All of this is kept in this browser and nowhere else. A file takes it to another one, or to your copy of the course: ",
      element("code", {}, "checks progress --import FILE"), " reads it, ",
      element("code", {}, "checks progress --export FILE"), " writes one."),
    element("p", {}, element("button", { type: "button", class: "md-button",
      onclick: () => save("dog-eared-progress.json", "application/json", exported()) }, "Export to a file")),
    element("p", {}, element("label", {}, "Import from a file: ", file)),
    said,
  );
  subscribe(draw);
  draw();

  async function take() {
    const [chosen] = file.files;
    if (!chosen) return;
    said.textContent = imported(await chosen.text());
    file.value = "";
  }

  function draw() {
    const store = load();
    const passed = passes(store.attempts);
    const tried = tries(store.attempts);
    const all = lessons.flatMap((one) => one.exercises);
    const done = all.filter((one) => passed.has(one.exercise));
    shown.replaceChildren(
      element("p", {}, element("strong", {}, `${done.length} of ${many(all.length, "exercise")} passed. `),
        all.every((one) => !one.points || passed.has(one.exercise)) // a project's earn none
          ? element("a", { href: address({ page: "study/certificate/" }) }, "Your certificate is ready.")
          : ""),
      where(store),
      element("h2", { id: "lessons" }, "Lessons"),
      ...lessons.map((one) => lesson(one, passed, tried)),
      element("h2", { id: "cards-kept" }, "Cards"),
      cards(store),
      element("h2", { id: "bookmarks" }, "Bookmarks"),
      bookmarks(store),
    );
  }

  function where({ last }) {
    if (!last?.page) return element("p", {}, "Open a lesson, and this page will remember where you stopped.");
    const lesson = lessons.find((one) => one.page === last.page);
    return element("p", {}, "You stopped at ",
      element("a", { href: address(last) }, last.title || (lesson ? lesson.title : last.page)),
      lesson ? ` in lesson ${lesson.lesson}.` : ".");
  }

  function lesson(one, passed, tried) {
    const done = one.exercises.filter(({ exercise }) => passed.has(exercise)).length;
    const name = `${one.lesson} ${one.title}`;
    return element("section", { class: "study-lesson" },
      element("h3", {}, element("a", { href: address(one) }, name)),
      element("p", {},
        element("progress", { max: one.exercises.length, value: String(done), "aria-label": `${name}: exercises passed` }),
        ` ${done} of ${one.exercises.length}`),
      element("ul", {}, ...one.exercises.map((each) => {
        const state = passed.has(each.exercise) ? "passed" : tried.has(each.exercise) ? "begun" : "open";
        const words = { passed: "✓ passed", begun: "◐ not yet", open: "○ open" }[state];
        return element("li", {}, element("span", { class: `study-${state}` }, words), " ",
          element("a", { href: address({ page: one.page, anchor: each.anchor }) }, each.title));
      })));
  }

  function cards(store) {
    const { cards: kept } = store;
    const scores = scoresIn(store);
    const ids = lessons.flatMap((one) => one.cards.map((card) => card.id));
    const seen = ids.filter((id) => Date.parse(kept[id]?.due));
    const due = seen.filter((id) => new Date(kept[id].due) <= new Date());
    const best = Math.max(0, ...scores.map((one) => one.score));
    return element("p", {},
      `${seen.length} of ${many(ids.length, "card")} begun, ${due.length} due now. `,
      element("a", { href: address({ page: "study/cards/" }) }, "To the cards"), ". ",
      scores.length ? `Best score in the speed challenge: ${best}. ` : "",
      element("a", { href: address({ page: "study/challenge/" }) }, "To the challenge"), ".");
  }

  function bookmarks(store) {
    const kept = store.bookmarks.filter((one) => typeof one?.title === "string");
    if (!kept.length) return element("p", {}, "None yet. In a lesson, the star beside a heading sets one.");
    return element("ul", {}, ...kept.map((one) =>
      element("li", {}, element("a", { href: address(one) }, one.title), " ",
        element("button", { type: "button", class: "study-small", "aria-label": `Remove the bookmark ${one.title}`,
          onclick: () => remove(one) }, "remove"))));
  }

  function remove({ page, anchor, title }) {
    update((state) => {
      state.bookmarks = state.bookmarks.filter((one) => one.page !== page || one.anchor !== anchor);
    });
    said.textContent = `The bookmark ${title} is gone.`;
  }
});
