// A lesson that runs: its cells, the worker behind them, and what is kept of both.
import { exported, imported, load, update } from "./store.mjs";

const BUNDLE = new URL("../../generated/run/", import.meta.url).href;
const SAVE_AFTER = 300; // milliseconds of not typing
const STAGES = {
  start: "Starting Python",
  unpack: "Unpacking the packages",
  import: "Importing FastAPI and SQLAlchemy",
};

/** What a text is known by: its SHA-256, or the text itself where the browser hashes only over https. */
async function mark(text) {
  if (!globalThis.crypto?.subtle) return text;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function make(tag, options = {}, ...children) {
  const { aria = {}, ...rest } = options;
  const made = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(aria)) made.setAttribute(`aria-${name}`, value);
  made.append(...children);
  return made;
}

const button = (text, onclick, title = text) =>
  make("button", { type: "button", className: "de-button", textContent: text, title, onclick });

let editing; // the editor's module, loaded once
const editor = () => (editing ??= import(new URL("editor.mjs", BUNDLE).href));

// -- one cell ------------------------------------------------------------------------------------
class Cell {
  constructor(page, { id, role, exercise, source, recorded }, number) {
    Object.assign(this, { page, id, role, exercise, recorded, number });
    this.shipped = source;
    this.home = document.getElementById(`cell-${id}`);
    this.bar = this.home?.querySelector(".de-bar");
    this.code = this.home?.querySelector(".highlight, pre");
    this.stored = this.home?.querySelector("[data-output]");
    this.live = make("div", { className: "de-output de-live", hidden: true });
    this.live.setAttribute("role", "group");
    this.live.setAttribute("aria-label", `Output of cell ${number}`);
    if (this.stored) this.stored.after(this.live);
    else this.home?.append(this.live);
    this.ran = null; // the text that the present kernel has run
    this.mine = null; // the reader's text, where it is not the lesson's
    this.resets = button("Reset", () => this.reset(), `Give cell ${number} back as the lesson has it`);
    this.resets.setAttribute("aria-label", `Reset cell ${number}`);
  }

  get source() {
    return this.mine ?? this.shipped;
  }

  get name() {
    return `${this.page.lesson}/${this.id}`;
  }

  /** Bring back what this browser kept of the cell, and say so where the lesson has moved on. */
  async restore() {
    const edit = load().edits[this.name];
    if (!edit || typeof edit.source !== "string" || !this.home) return;
    if (edit.source === this.shipped) return this.forget();
    if (edit.source === this.mine) return;
    this.mine = edit.source;
    await this.openEditor();
    if (this.view && this.view.source !== edit.source) this.view.source = edit.source;
    this.editedFrom = edit.base; // stays until the reader has chosen, whatever is typed meanwhile
    this.bar?.append(this.resets);
    if (edit.base !== (await mark(this.shipped))) this.offerBoth();
  }

  offerBoth() {
    this.home.querySelector(".de-offer")?.remove();
    const box = make("div", { className: "de-note de-offer" });
    box.setAttribute("role", "note");
    const keep = button("Keep mine", () => {
      this.editedFrom = this.base;
      this.keep();
      box.remove();
    });
    const take = button("Take the new one", () => {
      this.reset();
      box.remove();
    });
    box.append(
      make("p", { textContent: "The lesson has changed this cell since you edited it. You see yours; the new one is below." }),
      make("details", {}, make("summary", { textContent: "The new one" }), make("pre", { textContent: this.shipped })),
      keep,
      " ",
      take,
    );
    this.bar.after(box);
  }

  openEditor(at) {
    this.opening ??= this.recorded ? Promise.resolve() : this.putEditor(at);
    return this.opening;
  }

  async putEditor(at) {
    try {
      const { edit } = await editor();
      this.base = await mark(this.shipped);
      const place = make("div", { className: "de-editor" });
      this.code.before(place);
      this.view = edit(place, {
        source: this.source,
        label: `Code of cell ${this.number}. Escape, then Tab, leaves it.`,
        run: () => this.page.run(this.id),
        runAndGoOn: () => this.page.runAndGoOn(this.id),
        changed: (source) => this.changed(source),
      });
      this.code.hidden = true;
      if (at) this.view.placeCursorAt(at.x, at.y);
    } catch {
      this.opening = null;
      this.page.say("The editor could not be loaded. Check your connection and click again.");
    }
  }

  changed(source) {
    this.mine = source === this.shipped ? null : source;
    if (this.mine === null) this.resets.remove();
    else if (!this.resets.isConnected) this.bar?.append(this.resets);
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.keep(), SAVE_AFTER);
  }

  /** Write the reader's text down now. */
  keep() {
    clearTimeout(this.saving);
    this.saving = null;
    if (this.mine === null) return this.forget();
    const edit = { source: this.mine, base: this.editedFrom ?? this.base, at: new Date().toISOString() };
    const kept = update((store) => {
      store.edits[this.name] = edit;
    });
    if (!kept) this.page.say("This browser keeps nothing, so your edits last until you leave the page. Export them to keep them.");
  }

  forget() {
    update((store) => {
      delete store.edits[this.name];
    });
  }

  reset() {
    this.mine = this.editedFrom = null;
    if (this.view) this.view.source = this.shipped; // the editor's own undo brings it back
    this.home?.querySelector(".de-offer")?.remove();
    this.resets.remove();
    this.forget();
    this.clear();
  }

  // -- what it shows
  begin() {
    this.live.replaceChildren();
    this.live.hidden = false;
    if (this.stored) this.stored.hidden = true;
    this.state = "running";
  }

  clear() {
    this.live.replaceChildren();
    this.live.hidden = true;
    if (this.stored) this.stored.hidden = false;
    this.state = "";
    this.ran = null;
  }

  set state(state) {
    if (this.home) this.home.dataset.state = state;
    this.live.setAttribute("aria-busy", String(state === "running"));
  }

  show(message) {
    if (message.type === "stream") this.print(message.name, message.text);
    else if (message.type === "display") this.live.append(shown(message.data));
    else if (message.type === "error") this.live.append(make("pre", { className: "de-error", textContent: message.traceback }));
    else if (message.type === "note") this.note(message.text);
  }

  print(stream, text) {
    let last = this.live.lastElementChild;
    if (last?.dataset.stream !== stream) {
      last = make("pre", { className: `de-stream de-${stream}` });
      last.dataset.stream = stream;
      this.live.append(last);
    }
    last.append(text);
  }

  note(text, ...more) {
    this.live.hidden = false;
    this.live.append(make("p", { className: "de-note" }, text, " ", ...more));
  }
}

/** A value in the richest form that the page can show. */
function shown(data) {
  const rich = data["text/html"] ?? data["image/svg+xml"];
  if (rich !== undefined) return leading(make("div", { className: "de-html", innerHTML: rich }));
  if (data["image/png"]) return make("img", { src: `data:image/png;base64,${data["image/png"]}`, alt: data["text/plain"] });
  return make("pre", { className: "de-value", textContent: data["text/plain"] });
}

/** A card's `hint("...")` and `solution("...")` open what is folded beside the exercise. */
function leading(output) {
  for (const call of output.querySelectorAll(".de-card .next code")) {
    const [, what, exercise] = /^(hint|solution)\("([\w.]+)"\)$/.exec(call.textContent) ?? [];
    const folded = [...document.querySelectorAll(`[data-exercise="${exercise}"] details.de-${what}`)];
    if (!folded.length) continue;
    const opens = button(call.textContent, () => {
      const next = folded.find((one) => !one.open) ?? folded.at(-1);
      next.open = true;
      next.querySelector("summary").focus();
    }, what === "hint" ? "Open the next hint" : "Open the solution");
    opens.className = "de-leads";
    call.replaceChildren(opens);
  }
  return output;
}

// -- the page ------------------------------------------------------------------------------------
class Page {
  constructor({ lesson, cells }) {
    this.lesson = lesson;
    this.cells = cells.map((cell, at) => new Cell(this, cell, at + 1)).filter((cell) => cell.home);
    this.byId = new Map(this.cells.map((cell) => [cell.id, cell]));
    this.queue = [];
    this.running = null;
    this.dock();
    addEventListener("pagehide", () => this.keepAll());
    document.addEventListener("visibilitychange", () => document.hidden && this.keepAll());
  }

  keepAll() {
    for (const cell of this.cells) if (cell.saving) cell.keep();
  }

  // -- what boot.mjs calls
  run(id) {
    const cell = this.byId.get(id);
    this.enqueue([{ cell, source: cell.source }]);
  }

  /** As Shift+Enter does in Jupyter: run, and on to the next cell that can be run. */
  runAndGoOn(id) {
    this.run(id);
    const next = this.cells.slice(this.cells.indexOf(this.byId.get(id)) + 1).find((cell) => !cell.recorded);
    if (next) this.edit(next.id);
  }

  runTo(id) {
    const last = this.byId.get(id);
    const above = this.cells.slice(0, this.cells.indexOf(last));
    const due = above.filter((cell) => !cell.recorded && cell.ran !== cell.source);
    this.enqueue([...due, last].map((cell) => ({ cell, source: cell.source })));
  }

  async edit(id, at) {
    const cell = this.byId.get(id);
    await cell.openEditor(at);
    cell.view?.focus();
  }

  // -- one after the other
  enqueue(jobs) {
    for (const job of jobs) {
      if (this.queue.some((one) => one.cell === job.cell && one.source === job.source)) continue;
      this.queue.push(job);
      if (this.running?.cell !== job.cell) job.cell.state = "waiting";
    }
    this.next();
  }

  next() {
    if (this.running || !this.queue.length) return;
    if (!this.worker) this.start();
    if (!this.ready) return;
    this.running = this.queue.shift();
    const { cell, source } = this.running;
    cell.begin();
    this.say(`Running cell ${cell.number}`);
    this.stops.disabled = false;
    this.worker.postMessage({ type: "run", cell: cell.id, source });
  }

  done({ ok }) {
    const { cell, source } = this.running;
    this.running = null;
    cell.state = ok ? "done" : "failed";
    cell.ran = source;
    const waiting = this.queue.length;
    if (!ok && waiting) {
      for (const job of this.queue) if (job.cell !== cell) job.cell.state = "";
      this.queue = [];
    }
    const left = waiting && !ok ? "; the cells that were waiting have not been run" : "";
    this.say(`Cell ${cell.number} ${ok ? "is done" : "raised an exception"}${left}`);
    this.stops.disabled = !this.queue.length;
    if (!ok) this.suggest(cell);
    this.next();
  }

  /** A name that is missing mostly stands in a cell that has not been run. */
  suggest(cell) {
    const above = this.cells.slice(0, this.cells.indexOf(cell)).filter((one) => !one.recorded);
    if (this.lastError !== "NameError" || above.every((one) => one.ran !== null)) return;
    cell.note("Cells above have not been run yet.", button("Run them and this one", () => this.runTo(cell.id)));
  }

  // -- the worker
  start() {
    const { version, attempts, hints } = load();
    this.ready = false;
    this.clicked = performance.now();
    this.say("Loading Python");
    this.worker = new Worker(new URL("./worker.mjs", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => this.hear(data);
    this.worker.onerror = (event) => this.hear({ type: "broken", reason: event.message ?? "it could not be loaded" });
    this.worker.postMessage({ type: "boot", base: BUNDLE, kept: { version, attempts, hints } });
    this.bar.hidden = this.box.hidden = false;
    this.stops.disabled = false;
  }

  hear(message) {
    const cell = this.byId.get(message.cell);
    if (message.type === "loading") this.loading(message);
    else if (message.type === "ready") {
      this.ready = true;
      this.bar.hidden = true;
      performance.measure("dog-eared: ready", { start: this.clicked, detail: message.marks });
      this.say(`Python ${message.version} is ready`);
      this.next();
    } else if (message.type === "done") this.done(message);
    else if (message.type === "progress") this.keepProgress(message);
    else if (message.type === "broken") this.broken(message.reason);
    else {
      if (message.type === "error") this.lastError = message.name;
      if (cell) cell.show(message);
      else if (message.type === "note") this.say(message.text);
    }
  }

  loading({ stage, loaded, total }) {
    if (stage === "download") {
      this.bar.max = total;
      this.bar.value = loaded;
      this.bytes.textContent = `${(loaded / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB`;
    } else {
      this.bytes.textContent = "";
      this.bar.removeAttribute("value");
      this.say(STAGES[stage]);
    }
  }

  keepProgress({ attempts, hints }) {
    update((store) => {
      store.attempts.push(...attempts);
      for (const [exercise, shown] of Object.entries(hints))
        store.hints[exercise] = Math.max(shown, store.hints[exercise] ?? 0);
    });
  }

  broken(reason) {
    this.end();
    this.say(`Python could not be loaded: ${reason}. Reload the page to try again; the recorded results stand.`);
  }

  end() {
    this.worker?.terminate();
    this.worker = null;
    this.ready = false;
    for (const { cell } of [...this.queue, ...(this.running ? [this.running] : [])]) cell.state = "";
    for (const cell of this.cells) cell.ran = null;
    this.queue = [];
    const stopped = this.running?.cell;
    this.running = null;
    this.bar.hidden = true;
    this.bytes.textContent = "";
    this.stops.disabled = true;
    return stopped;
  }

  stop() {
    const cell = this.end();
    cell?.note("Stopped. Your edits are kept; the names that cells had made are gone: run the cells above again.");
    this.say("Stopped. The next Run starts Python anew");
  }

  resetAll() {
    if (!confirm("Give every cell of this lesson back as it came? Your edits of it are deleted; your progress stays.")) return;
    this.end();
    for (const cell of this.cells) cell.reset();
    this.say("Every cell is as the lesson has it");
  }

  // -- the dock at the foot of the window
  dock() {
    this.status = make("span", { className: "de-status" });
    this.status.setAttribute("role", "status");
    this.bytes = make("span", { className: "de-bytes", aria: { hidden: "true" } });
    this.bar = make("progress", { hidden: true, aria: { label: "Loading Python" } });
    this.stops = button("■ Stop", () => this.stop(), "Stop what runs; edits are kept");
    this.stops.disabled = true;
    const file = make("input", { type: "file", accept: ".json,application/json", hidden: true });
    file.onchange = async () => {
      if (file.files[0]) this.say(imported(await file.files[0].text()));
      file.value = "";
      for (const cell of this.cells) await cell.restore();
    };
    const more = make(
      "details",
      { className: "de-more" },
      make("summary", { textContent: "More" }),
      make(
        "div",
        {},
        button("Reset this page", () => this.resetAll()),
        button("Export progress", () => this.save()),
        button("Import progress", () => file.click()),
      ),
    );
    this.box = make("section", { className: "de-dock", hidden: true, aria: { label: "Running this page" } });
    this.box.append(this.bar, this.status, this.bytes, this.stops, more, file);
    document.body.append(this.box);
  }

  save() {
    const address = URL.createObjectURL(new Blob([exported()], { type: "application/json" }));
    make("a", { href: address, download: "dog-eared-progress.json" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
    this.say("Exported to dog-eared-progress.json");
  }

  say(text) {
    this.box.hidden = false;
    this.status.textContent = text;
  }
}

function style() {
  const href = new URL("./run.css", import.meta.url).href;
  return new Promise((resolve) => {
    document.head.append(make("link", { rel: "stylesheet", href, onload: resolve, onerror: resolve }));
  });
}

/** The page of a lesson, ready for its buttons. */
export async function open(lesson) {
  await style();
  const page = new Page(lesson);
  await Promise.all(page.cells.map((cell) => cell.restore()));
  return page;
}
