// What this browser keeps of a reader: one place, one shape, for the lessons and the study tools.
const PLACE = "dog-eared";
const EMPTY = {
  version: 1,
  attempts: [],
  hints: {},
  edits: {},
  cards: {},
  scores: [],
  bookmarks: [],
  last: null,
};
const listeners = new Set();

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** A store with every part there, whatever was read; null where it is none of ours. */
export function whole(found) {
  if (!isObject(found) || found.version !== 1) return null;
  const store = structuredClone(EMPTY);
  for (const [part, usual] of Object.entries(EMPTY)) {
    const value = found[part];
    if (Array.isArray(usual) ? Array.isArray(value) : isObject(value)) store[part] = value;
  }
  return store;
}

/** Everything that is kept. */
export function load() {
  try {
    return whole(JSON.parse(localStorage.getItem(PLACE))) ?? structuredClone(EMPTY);
  } catch {
    return structuredClone(EMPTY); // nothing is kept, or this browser keeps nothing
  }
}

/** Change what is kept: `change` gets the store and alters it. False where it cannot be kept. */
export function update(change) {
  const store = load();
  change(store);
  let kept = true;
  try {
    localStorage.setItem(PLACE, JSON.stringify(store));
  } catch {
    kept = false;
  }
  for (const listener of listeners) listener(store);
  return kept;
}

/** Be told of each change, in this tab or another; gives a way to stop. */
export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

globalThis.addEventListener?.("storage", ({ key }) => {
  if (key === PLACE) for (const listener of listeners) listener(load());
});

/** Everything that is kept, as the text of a file. */
export const exported = () => `${JSON.stringify(load(), null, 1)}\n`;

const sameAttempt = (one, other) =>
  one.exercise === other.exercise && one.status === other.status && one.at === other.at;

/** When a card was last reviewed, in milliseconds; NaN, which no comparison is true of, where nothing says so. */
const reviewed = (card) => Date.parse(card?.last_review);

/**
 * Take in a file that was exported; what is here already stays. Gives a sentence on what happened.
 * Of two edits of one name the later one wins, of two cards the one that was reviewed later.
 */
export function imported(text) {
  let found = null;
  try {
    found = whole(JSON.parse(text));
  } catch {
    // told below
  }
  if (!found) return "This is not a progress file of this course. Choose one that was exported here or by `checks progress --export`.";
  let fresh = 0;
  update((store) => {
    for (const attempt of found.attempts) {
      if (!isObject(attempt) || typeof attempt.exercise !== "string") continue;
      if (store.attempts.some((one) => sameAttempt(one, attempt))) continue;
      store.attempts.push(attempt);
      fresh += 1;
    }
    store.attempts.sort((one, other) => String(one.at).localeCompare(String(other.at)));
    for (const [exercise, shown] of Object.entries(found.hints))
      if (Number.isInteger(shown)) store.hints[exercise] = Math.max(shown, store.hints[exercise] ?? 0);
    for (const [name, edit] of Object.entries(found.edits))
      if (isObject(edit) && typeof edit.source === "string" && !(store.edits[name]?.at > edit.at))
        store.edits[name] = edit;
    for (const [name, card] of Object.entries(found.cards))
      if (isObject(card) && !(reviewed(store.cards[name]) >= reviewed(card))) store.cards[name] = card;
    for (const part of ["scores", "bookmarks"]) {
      const known = new Set(store[part].map((one) => JSON.stringify(one)));
      store[part].push(...found[part].filter((one) => !known.has(JSON.stringify(one))));
    }
    if (found.last && !(store.last?.at >= found.last.at)) store.last = found.last;
  });
  return fresh === 1 ? "Imported: 1 attempt is new." : `Imported: ${fresh} attempts are new.`;
}
