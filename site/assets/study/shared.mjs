// What the study pages share: the course's data, elements, and where the reader stands.

/** The site's root, wherever the site is put. */
export const root = new URL("../../", import.meta.url);

/** Lessons with their exercises, cards and questions, as the build wrote them. */
export async function course() {
  const answer = await fetch(new URL("generated/study.json", root));
  if (!answer.ok) throw new Error(`study.json: ${answer.status}`);
  return answer.json();
}

/** The address of a page, or of a heading on it; never one outside this site, whatever a file says. */
export function address({ page, anchor }) {
  const { href } = new URL(anchor ? `${page}#${anchor}` : page, root);
  return href.startsWith(root.href) ? href : root.href;
}

/**
 * An element with properties, listeners and children.
 * `html` is for texts from study.json, which our own build made from Markdown without HTML.
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "html") made.innerHTML = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** First pass and best points of each exercise that has passed, by its id. */
export function passes(attempts) {
  const found = new Map();
  const whole = attempts.filter((one) => Date.parse(one?.at) && Number.isFinite(one.points));
  for (const one of whole) {
    const at = found.get(one.exercise);
    if (one.status === "passed" && (!at || Date.parse(one.at) < Date.parse(at.at)))
      found.set(one.exercise, { at: one.at });
  }
  for (const one of whole) {
    const at = found.get(one.exercise);
    if (at) at.points = Math.max(at.points ?? 0, one.points);
  }
  return found;
}

/** Fills a page's place; says in one sentence what is wrong where it cannot. */
export async function mount(id, fill) {
  const place = document.getElementById(id);
  if (!place) return;
  try {
    await fill(place, await course());
  } catch (error) {
    console.warn(error);
    place.replaceChildren(
      element("p", { role: "alert" }, "This page could not load its data. Reload it to try again."),
    );
  }
}

/** Whether a key press is meant for the page, not for a field or another command. */
export function isFree(event) {
  const field = event.target.closest?.("input, select, textarea, [contenteditable=true]");
  return !field && !event.ctrlKey && !event.metaKey && !event.altKey;
}

/** The exercises that were tried. */
export function tries(attempts) {
  return new Set(attempts.map((one) => one?.exercise));
}

/** Gives something to save as a file. */
export function save(name, type, content) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** Runs of the speed challenge that were kept, whatever else a file brought along. */
export function scoresIn({ scores }) {
  return scores.filter((one) => Number.isFinite(one?.score) && Date.parse(one.at));
}

export function many(number, one, several = `${one}s`) {
  return `${number} ${number === 1 ? one : several}`;
}

/** A choice of lessons, "all" first. */
export function lessonChoice(lessons, describe, onchange) {
  const select = element("select", { onchange: () => onchange(select.value) });
  select.append(element("option", { value: "all" }, describe("All lessons", lessons)));
  for (const one of lessons) {
    select.append(
      element("option", { value: one.lesson }, describe(`${one.lesson} ${one.title}`, [one])),
    );
  }
  return select;
}
