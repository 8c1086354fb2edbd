// On a lesson's page: a bookmark at each heading, and where the reader stopped.
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
    heading.append(button);
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
  subscribe(draw);
  draw();

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
