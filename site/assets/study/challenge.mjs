// The speed challenge: questions that get harder, a clock, and the best scores.
import { load, update } from "../run/store.mjs";
import { address, element, isFree, lessonChoice, many, mount, scoresIn } from "./shared.mjs";

const SECONDS = { 1: 20, 2: 30, 3: 45 }; // for a question of this level; code takes time to read
const MOST = 12; // questions in a run
const BEST = 5; // scores shown

mount("study-challenge", async (place, { lessons }) => {
  let chosen = "all";
  let clocked = true;
  let run = null; // { questions, at, score, right, asked: [] }
  let timer = 0;

  document.addEventListener("keydown", onKey);
  lobby();

  function lobby() {
    const select = lessonChoice(
      lessons,
      (title, some) => `${title} (${many(some.flatMap((one) => one.quiz).length, "question")})`,
      (value) => { chosen = value; scores.replaceChildren(...best()); },
    );
    select.value = chosen;
    const clock = element("input", { type: "checkbox", checked: clocked,
      onchange: () => { clocked = clock.checked; } });
    const scores = element("div", {}, ...best());
    place.replaceChildren(
      element("p", {}, element("label", {}, "Questions from ", select)),
      element("p", {}, element("label", {}, clock, " Against the clock")),
      element("p", {}, element("button",
        { type: "button", class: "md-button md-button--primary", onclick: start }, "Start")),
      scores,
    );
  }

  function best() {
    const kept = scoresIn(load()).filter((one) => one.lesson === chosen);
    kept.sort((a, b) => b.score - a.score || (a.at < b.at ? -1 : 1));
    if (!kept.length) return [element("p", {}, "No score yet. The first one is a record by default.")];
    return [
      element("h2", {}, "Best scores"),
      element("ol", { class: "study-scores" }, ...kept.slice(0, BEST).map((one) =>
        element("li", {}, element("strong", {}, many(one.score, "point")),
          ` ${one.right} of ${one.of} right${one.clock ? "" : ", no clock"}, ${one.at.slice(0, 10)}`))),
    ];
  }

  function start() {
    const from = chosen === "all" ? lessons : lessons.filter((one) => one.lesson === chosen);
    const questions = shuffled(from.flatMap((one) => one.quiz)).slice(0, MOST);
    questions.sort((a, b) => a.level - b.level);
    run = { questions, at: 0, score: 0, right: 0, asked: [], answered: false };
    ask();
  }

  function ask() {
    const question = run.questions[run.at];
    const seconds = SECONDS[question.level];
    run.answered = false;
    run.ends = Date.now() + seconds * 1000;
    run.options = arranged(question.options);
    const clock = element("span", { class: "study-clock", role: "timer" });
    const bar = element("span", { class: "study-bar", "aria-hidden": "true" });
    const head = element("p", { class: "study-where" },
      `Question ${run.at + 1} of ${run.questions.length}, level ${question.level}. `,
      `${many(run.score, "point")}. `, clock);
    place.replaceChildren(
      head,
      clocked ? bar : "",
      element("p", { class: "study-question", tabindex: "-1", html: question.question }),
      question.code ? element("div", { class: "study-code", html: question.code }) : "",
      element("div", { class: "study-options", role: "group", "aria-label": "Answers" },
        ...run.options.map((option, number) =>
          element("button", { type: "button", class: "study-option", onclick: () => answer(number) },
            element("kbd", {}, String(number + 1)), " ", element("span", { html: option.html })))),
      element("div", { class: "study-verdict", "aria-live": "polite" }),
    );
    for (const code of place.querySelectorAll(".study-code code")) code.tabIndex = 0; // it scrolls
    place.querySelector(".study-question").focus();
    clearInterval(timer);
    if (!clocked) return;
    const tick = () => {
      const left = Math.max(0, run.ends - Date.now());
      clock.textContent = `${Math.ceil(left / 1000)} s left`;
      bar.style.setProperty("--left", left / seconds / 1000);
      if (!left) answer(null);
    };
    timer = setInterval(tick, 200);
    tick();
  }

  /** `number` of the option, or null when the time is up. */
  function answer(number) {
    if (!run || run.answered || (number !== null && !run.options[number])) return;
    clearInterval(timer);
    run.answered = true;
    const question = run.questions[run.at];
    const right = number !== null && run.options[number].right;
    const quick = clocked ? Math.max(0, Math.ceil((run.ends - Date.now()) / 1000)) : 0;
    const points = right ? question.level * 10 + quick : 0;
    run.score += points;
    run.right += right ? 1 : 0;
    run.asked.push({ question, right });
    [...place.querySelectorAll(".study-option")].forEach((button, at) => {
      button.disabled = true;
      if (run.options[at].right) mark(button, "right", "✓ right");
      else if (at === number) mark(button, "wrong", "× yours");
    });
    const last = run.at + 1 === run.questions.length;
    const words = right ? `Right, ${points} points. ` : number === null ? "Time is up. " : "No. ";
    const go = element("button",
      { type: "button", class: "md-button md-button--primary", onclick: onward },
      last ? "To the score" : "Next question");
    place.querySelector(".study-verdict").replaceChildren(
      element("p", {}, element("strong", {}, words), element("span", { html: question.because }), " ",
        question.computed ? "The answer was counted when the site was built, by running this code. " : ""),
      element("p", {}, "Read: ", element("a", { href: address(question.link), html: question.link.title })),
      element("p", {}, go),
    );
    go.focus({ preventScroll: true });
    go.scrollIntoView({ block: "nearest" });
  }

  function mark(button, kind, words) {
    button.classList.add(`study-${kind}`);
    button.append(element("em", {}, words));
  }

  function onward() {
    run.at += 1;
    if (run.at < run.questions.length) ask();
    else finish();
  }

  function finish() {
    const { score, right, questions, asked } = run;
    const before = Math.max(0, ...scoresIn(load())
      .filter((one) => one.lesson === chosen).map((one) => one.score));
    update((state) => {
      const made = { at: new Date().toISOString(), lesson: chosen, score, right,
        of: questions.length, clock: clocked };
      state.scores.push(made);
    });
    run = null;
    const missed = asked.filter((one) => !one.right);
    const heading = element("h2", { tabindex: "-1" },
      `${many(score, "point")}, ${right} of ${questions.length} right`);
    place.replaceChildren(
      heading,
      element("p", { role: "status" }, score > before ? "That is your best so far." : `Your best is ${before}.`),
      missed.length
        ? element("div", {}, element("p", {}, "Worth another look:"),
          element("ul", {}, ...missed.map(({ question }) =>
            element("li", {}, element("a", { href: address(question.link), html: question.link.title })))))
        : "",
      element("p", {}, element("button",
        { type: "button", class: "md-button md-button--primary", onclick: lobby }, "Again")),
      ...best(),
    );
    heading.focus();
  }

  function onKey(event) {
    if (!run || run.answered || !isFree(event) || !/^[1-6]$/.test(event.key)) return;
    event.preventDefault();
    answer(Number(event.key) - 1);
  }
});

/** Numbers in their order, everything else in any order. */
function arranged(options) {
  const numbers = options.filter((one) => /^\d+$/.test(one.html));
  if (numbers.length < options.length - 1) return shuffled(options);
  numbers.sort((a, b) => Number(a.html) - Number(b.html));
  return [...numbers, ...options.filter((one) => !numbers.includes(one))];
}

function shuffled(list) {
  const made = [...list];
  for (let at = made.length - 1; at > 0; at -= 1) {
    const other = Math.floor(Math.random() * (at + 1));
    [made[at], made[other]] = [made[other], made[at]];
  }
  return made;
}
