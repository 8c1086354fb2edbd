// Flashcards. When a card comes again is decided by FSRS; see generated/study/scheduler.mjs.
import { load, update } from "../run/store.mjs";
import { address, element, isFree, lessonChoice, many, mount, root } from "./shared.mjs";

const RATINGS = ["Again", "Hard", "Good", "Easy"];
const AHEAD = 20 * 60_000; // ms: a card that is still being learned may come this much early

mount("study-cards", async (place, { lessons }) => {
  let fsrs;
  try {
    fsrs = await import(new URL("generated/study/scheduler.mjs", root));
  } catch {
    place.replaceChildren(
      element("p", {}, "This copy of the site was built without npm, so it has no scheduler. ",
        "The Anki deck below has the same cards."),
    );
    return;
  }
  const scheduler = fsrs.fsrs({ enable_fuzz: false });
  let chosen = lessons;
  let showing = null; // the card on the table
  let open = false; // whether its answer shows

  const counts = element("p", { class: "study-counts" });
  const table = element("div", { class: "study-card" });
  const said = element("p", { class: "study-said", role: "status" });
  const select = lessonChoice(
    lessons,
    (title, some) => `${title} (${many(cardsOf(some).length, "card")})`,
    (value) => {
      chosen = value === "all" ? lessons : lessons.filter((one) => one.lesson === value);
      said.textContent = "";
      next(false);
    },
  );
  place.replaceChildren(
    element("p", {}, element("label", {}, "Cards of ", select)), counts, table, said,
  );
  document.addEventListener("keydown", onKey);
  next(false);

  function cardsOf(some) {
    return some.flatMap((one) => one.cards.map((card) => ({ ...card, lesson: one.lesson })));
  }

  /** The state of a card as FSRS wrote it; undefined where it was never seen. */
  function known(id) {
    const state = load().cards[id];
    return Date.parse(state?.due) && Number.isFinite(state.stability) ? state : undefined;
  }

  /** What is due now, what is new, and what is still being learned and may come early. */
  function piles() {
    const now = Date.now();
    const piles = { due: [], fresh: [], soon: [], later: [] };
    for (const card of cardsOf(chosen)) {
      const state = known(card.id);
      const due = state && new Date(state.due).getTime();
      if (!state) piles.fresh.push(card);
      else if (due <= now) piles.due.push([due, card]);
      else if (state.state !== fsrs.State.Review && due <= now + AHEAD) piles.soon.push([due, card]);
      else piles.later.push([due, card]);
    }
    for (const name of ["due", "soon", "later"]) piles[name].sort(([a], [b]) => a - b);
    return piles;
  }

  function next(focus = true) {
    const { due, fresh, soon, later } = piles();
    counts.textContent =
      `${due.length} due, ${fresh.length} new, ${soon.length + later.length} waiting.`;
    showing = due[0]?.[1] ?? fresh[0] ?? soon.find(([, card]) => card.id !== showing?.id)?.[1]
      ?? soon[0]?.[1] ?? null;
    open = false;
    if (!showing) {
      const [when] = later[0] ?? [];
      table.replaceChildren(
        element("p", {}, element("strong", {}, "Nothing is due."),
          when ? ` The next card comes in ${span(when - Date.now())}.` : ""),
      );
      return;
    }
    table.replaceChildren(
      element("p", { class: "study-where" }, `Lesson ${showing.lesson}`),
      element("p", { class: "study-question", tabindex: "-1", html: showing.question }),
      element("p", {}, element("button", { type: "button", class: "md-button", onclick: reveal },
        "Show the answer", element("kbd", {}, "space"))),
    );
    if (focus) table.querySelector(".study-question").focus();
  }

  function reveal() {
    if (!showing || open) return;
    open = true;
    const after = scheduler.repeat(stateOf(showing), new Date());
    const buttons = RATINGS.map((name, place) =>
      element("button", {
        type: "button", class: "study-rating", "data-rating": name, onclick: () => rate(name),
      },
      element("kbd", {}, String(place + 1)), ` ${name} `,
      element("small", {}, span(new Date(after[fsrs.Rating[name]].card.due) - Date.now()))),
    );
    table.lastElementChild.replaceWith(
      element("div", {},
        element("p", { class: "study-answer", tabindex: "-1", html: showing.answer }),
        element("p", { class: "study-where" }, "From ",
          element("a", { href: address(showing.link), html: showing.link.title })),
        element("div", { class: "study-ratings", role: "group", "aria-label": "How well did you know it?" },
          ...buttons)),
    );
    table.querySelector(".study-answer").focus();
  }

  function rate(name) {
    const { card } = scheduler.repeat(stateOf(showing), new Date())[fsrs.Rating[name]];
    const id = showing.id;
    const kept = update((state) => {
      state.cards[id] = card;
    });
    said.textContent = kept
      ? `${name}: it comes again in ${span(new Date(card.due) - Date.now())}.`
      : "This browser keeps nothing, so cards cannot be scheduled. Allow this site to store data.";
    next();
  }

  function stateOf(card) {
    return known(card.id) ?? fsrs.createEmptyCard();
  }

  function onKey(event) {
    if (!isFree(event) || !showing) return;
    const rating = RATINGS[Number(event.key) - 1];
    if (event.key === " " && !open && !event.target.closest("button, a, summary")) {
      event.preventDefault();
      reveal();
    } else if (rating && open) {
      event.preventDefault();
      rate(rating);
    }
  }
});

/** A stretch of time in the unit that one would say it in. */
function span(ms) {
  const minutes = Math.max(1, Math.round(ms / 60_000));
  if (minutes < 60) return many(minutes, "minute");
  if (minutes < 24 * 60) return many(Math.round(minutes / 60), "hour");
  const days = Math.round(minutes / 60 / 24);
  return days < 60 ? many(days, "day") : many(Math.round(days / 30), "month");
}
