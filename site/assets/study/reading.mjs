// On a lesson's page: a bookmark at each heading, what was passed, which hints were read, and where
// the reader stopped.
import { load, subscribe, update } from "../run/store.mjs";

const root = new URL("../../", import.meta.url).pathname;
const page = location.pathname.startsWith(root) ? location.pathname.slice(root.length) : "";
const PAUSE = 1000; // ms that a heading must stay in sight to count as read up to

if (document.getElementById("de-lesson") && page) {
  const style = document.createElement("link");
  Object.assign(style, { rel: "stylesheet", href: new URL("study.css", import.meta.url).href });
  document.head.append(style);
  const said = document.createElement("p");
  said.className = "study-unseen";
  said.setAttribute("role", "status");
  document.body.append(said);

  const headings = [...document.querySelectorAll(".md-content :is(h1, h2, h3)[id]")];
  const title = (heading) => {
    const copy = heading.cloneNode(true);
    for (const extra of copy.querySelectorAll("a.headerlink, button")) extra.remove();
    return copy.textContent.trim();
  };
  const marks = headings.map((heading) => {
    const words = title(heading);
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "study-mark" });
    button.addEventListener("click", () => {
      const on = !isMarked(heading.id);
      update((state) => {
        state.bookmarks = state.bookmarks.filter((one) => one.page !== page || one.anchor !== heading.id);
        if (on) state.bookmarks.push({ page, anchor: heading.id, title: words, at: new Date().toISOString() });
      });
      said.textContent = on ? `Bookmark set: ${words}.` : `Bookmark removed: ${words}.`;
    });
    button.setAttribute("aria-label", `Bookmark: ${words}`);
    heading.insertBefore(button, heading.querySelector("a.headerlink"));
    return { button, id: heading.id };
  });
  const isMarked = (anchor) => load().bookmarks.some((one) => one.page === page && one.anchor === anchor);
  const draw = () => {
    for (const { button, id } of marks) {
      const on = isMarked(id);
      button.setAttribute("aria-pressed", String(on));
      button.textContent = on ? "★" : "☆";
      button.title = on ? "Remove the bookmark" : "Bookmark this heading";
    }
  };

  const exercises = [...document.querySelectorAll(".de-exercise")].map((home) => {
    const passed = document.createElement("p");
    Object.assign(passed, { className: "study-passed", textContent: "✓ You have passed this.", hidden: true });
    home.querySelector("h2, h3, h4")?.after(passed);
    return { passed, id: home.dataset.exercise };
  });
  const drawPassed = ({ attempts }) => {
    const done = new Set(attempts.filter((one) => one?.status === "passed").map((one) => one.exercise));
    for (const { passed, id } of exercises) passed.hidden = !done.has(id);
  };
  subscribe((store) => {
    draw();
    drawPassed(store);
  });
  draw();
  drawPassed(load());

  // A hint that is unfolded counts as one that `hint(...)` gave.
  document.addEventListener("toggle", ({ target }) => {
    if (!target.open || !target.matches("details.de-hint")) return;
    const exercise = target.closest("[data-exercise]").dataset.exercise;
    update((state) => {
      state.hints[exercise] = Math.max(Number(target.dataset.hint), state.hints[exercise] ?? 0);
    });
  }, true);

  const folded = [...document.querySelectorAll("details:is(.de-solution, .de-solved)")];
  if (folded.length) {
    const solved = document.createElement("button");
    Object.assign(solved, { type: "button", className: "md-button", textContent: "Show it solved" });
    solved.addEventListener("click", () => {
      const open = solved.getAttribute("aria-pressed") !== "true";
      for (const one of folded) one.open = open;
      solved.setAttribute("aria-pressed", String(open));
    });
    solved.setAttribute("aria-pressed", "false");
    document.querySelector(".de-buttons")?.append(" ", solved);
  }

  let waiting = 0;
  const stopped = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const passed = headings.filter((one) => one.getBoundingClientRect().top < innerHeight / 2);
      const at = passed.at(-1);
      const { last } = load();
      if (!at || at === headings[0] || (last?.page === page && last.anchor === at.id)) return;
      update((state) => {
        state.last = { page, anchor: at.id, title: title(at), at: new Date().toISOString() };
      });
    }, PAUSE);
  };
  addEventListener("scroll", stopped, { passive: true });
}
