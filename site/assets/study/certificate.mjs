// The certificate: the same text as `checks certificate` prints, so that it can be verified there.
import { load } from "../run/store.mjs";
import { address, element, many, mount, passes, save } from "./shared.mjs";

const NOBODY = "A reader of Dog-Eared";

mount("study-certificate", async (place, { lessons }) => {
  const passed = passes(load().attempts);
  const all = lessons.flatMap((lesson) => lesson.exercises.map((one) => ({ ...one, page: lesson.page })))
    .filter((one) => one.points); // a project's earn none
  const missing = all.filter((one) => !passed.has(one.exercise));
  if (missing.length) {
    place.replaceChildren(
      element("p", {}, element("strong", {}, `Not yet: ${all.length - missing.length} of ${many(all.length, "exercise")} have passed.`),
        " Go on with ", element("a", { href: address(missing[0]) }, missing[0].title), "."),
    );
    return;
  }
  const record = all.map(({ exercise }) => ({ exercise, ...passed.get(exercise) }));
  const name = element("input", { type: "text", maxlength: "100", autocomplete: "name", oninput: draw });
  const sheet = element("div", { class: "study-sheet" });
  let text = "";
  place.replaceChildren(
    element("p", { class: "study-noprint" }, element("label", {}, "Name on the certificate: ", name)),
    sheet,
    element("p", { class: "study-noprint" },
      element("button", { type: "button", class: "md-button md-button--primary", onclick: () => print() }, "Print"), " ",
      element("button", { type: "button", class: "md-button",
        onclick: () => save("dog-eared-certificate.txt", "text/plain", `${text}\n`) }, "Save as text")),
  );
  await draw();

  async function draw() {
    const written = plain(name.value) || NOBODY;
    text = await certificate(written, record);
    sheet.replaceChildren(
      element("p", { class: "study-sheet-course" }, "Dog-Eared: SQLAlchemy in FastAPI"),
      element("p", { class: "study-sheet-name" }, written),
      element("p", {}, `has passed all ${many(record.length, "exercise")}.`),
      element("pre", { tabindex: "0", "aria-label": "The certificate as text" }, text),
    );
  }
});

/** A name on one line, composed and trimmed, as `checks certificate` has it. */
function plain(name) {
  return name.replace(/[\p{C}\p{Z}]/gu, " ").split(" ").filter(Boolean).join(" ").normalize("NFC");
}

/** Changes here are changes in checks/certificate.py; a test holds the two together. */
async function certificate(name, record) {
  const points = (one) => String(Number(one.points.toPrecision(6)));
  const moment = (one) => `${new Date(one.at).toISOString().slice(0, 19)}Z`;
  const hashed = ["dog-eared certificate 1", name,
    ...record.map((one) => `${one.exercise} ${points(one)} ${moment(one)}`)].join("\n");
  const total = record.reduce((sum, one) => sum + one.points, 0);
  const width = Math.max(...record.map((one) => one.exercise.length));
  const last = record.map(moment).sort().at(-1).slice(0, 10);
  return [
    "Dog-Eared: SQLAlchemy in FastAPI. Certificate",
    "",
    `Name: ${name}`,
    `Passed: ${record.length} exercises, ${Number(total.toPrecision(6))} points, the last of them on ${last}`,
    "",
    ...record.map((one) => `  ${one.exercise.padEnd(width)}  ${points(one)} points  passed ${moment(one)}`),
    "",
    `Checksum: ${await sha256(hashed)}`,
    "It tells whether this text is as it was made, not who did the work.",
    "Verify it with: checks certificate --verify FILE",
  ].join("\n");
}

async function sha256(text) {
  if (!globalThis.crypto?.subtle) return "(browsers compute it only on https; `checks certificate` does anywhere)";
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
