// The mind map: the whole course from the catalogue, each node a link, coloured by progress.
import { load, subscribe } from "../run/store.mjs";
import { address, element, mount, passes, tries } from "./shared.mjs";

const SVG = "http://www.w3.org/2000/svg";
const COLUMNS = [0, 150, 430, 660]; // course, part, lesson, exercise
const WIDTHS = [120, 250, 200, 300];
const ROW = 34;
const HEIGHT = 26;
const STEP = 1.25; // one press of a zoom button
const GLYPHS = { passed: "✓", begun: "◐", open: "○" };
const WORDS = { passed: "all passed", begun: "begun", open: "not begun" };

mount("study-map", async (place, { lessons }) => {
  const frame = element("div",
    { class: "study-map", tabindex: "0", role: "region", "aria-label": "Mind map of the course. Scroll with the arrow keys, zoom with plus and minus." });
  const list = element("details", { class: "study-tree" });
  let zoom = 0; // 0: as wide as there is room
  const button = (label, text, act) =>
    element("button", { type: "button", class: "md-button", "aria-label": label, onclick: act }, text);
  place.replaceChildren(
    element("div", { class: "study-zoom", role: "group", "aria-label": "Zoom" },
      button("Zoom out", "−", () => zoomBy(1 / STEP)),
      button("Zoom in", "+", () => zoomBy(STEP)),
      button("Fit to the page", "Fit", () => { zoom = 0; size(); })),
    element("p", { class: "study-legend" },
      ...Object.entries(GLYPHS).map(([state, glyph]) =>
        element("span", { class: `study-${state}` }, `${glyph} ${WORDS[state]} `))),
    frame,
    list,
  );
  frame.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") zoomBy(STEP);
    else if (event.key === "-") zoomBy(1 / STEP);
    else if (event.key === "0") { zoom = 0; size(); }
    else return;
    event.preventDefault();
  });
  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // a plain wheel scrolls
    event.preventDefault();
    zoomBy(event.deltaY < 0 ? STEP : 1 / STEP);
  }, { passive: false });
  addEventListener("resize", size);
  subscribe(draw);
  const first = draw();
  if (frame.clientWidth < 600) begin(first);

  function draw() {
    const tree = arrange(grow(lessons, load().attempts));
    frame.replaceChildren(picture(tree));
    list.replaceChildren(element("summary", {}, "The same as a list"), outline(tree));
    size();
    return tree;
  }

  /** On a phone: large enough to read, at the lesson where one goes on; the rest is a swipe away. */
  function begin(tree) {
    zoom = 0.9;
    size();
    const all = tree.children.flatMap((part) => part.children);
    const { x, y } = all.find((one) => one.state !== "passed") ?? all[0];
    frame.scrollTo(x * zoom, y * zoom - frame.clientHeight / 2);
  }

  function zoomBy(factor) {
    const svg = frame.firstElementChild;
    const now = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    const middle = [
      (frame.scrollLeft + frame.clientWidth / 2) / now,
      (frame.scrollTop + frame.clientHeight / 2) / now,
    ];
    zoom = Math.min(3, Math.max(0.2, now * factor));
    size();
    frame.scrollTo(middle[0] * zoom - frame.clientWidth / 2, middle[1] * zoom - frame.clientHeight / 2);
  }

  function size() {
    const svg = frame.firstElementChild;
    const { width, height } = svg.viewBox.baseVal;
    const scale = zoom || Math.min(1, frame.clientWidth / width);
    svg.setAttribute("width", Math.floor(width * scale));
    svg.setAttribute("height", Math.floor(height * scale));
  }
});

/** The course as a tree: course, parts, lessons, exercises, each with where it leads. */
function grow(lessons, attempts) {
  const passed = passes(attempts);
  const tried = tries(attempts);
  const parts = [...new Set(lessons.map((one) => one.part))].map((title) => ({
    title,
    children: lessons.filter((one) => one.part === title).map((lesson) => ({
      title: `${lesson.lesson} ${lesson.title}`,
      link: { page: lesson.page },
      children: lesson.exercises.map((one) => ({
        title: one.title,
        link: { page: lesson.page, anchor: one.anchor },
        state: passed.has(one.exercise) ? "passed" : tried.has(one.exercise) ? "begun" : "open",
      })),
    })),
  }));
  for (const part of parts) part.link = part.children[0].link;
  const tree = { title: "Dog-Eared", link: { page: "" }, children: parts };
  settle(tree);
  return tree;
}

/** A branch is passed when all of it is, and begun when some of it is. */
function settle(node) {
  if (!node.children) return [node.state];
  const leaves = node.children.flatMap(settle);
  const done = leaves.filter((state) => state === "passed").length;
  node.state = done === leaves.length ? "passed" : leaves.every((one) => one === "open") ? "open" : "begun";
  node.count = `${done} of ${leaves.length} exercises passed`;
  return leaves;
}

/** Leaves take a row each; a branch stands in the middle of its own. */
function arrange(tree) {
  let row = 0;
  const put = (node, depth) => {
    node.x = COLUMNS[depth];
    node.width = WIDTHS[depth];
    if (node.children) {
      for (const child of node.children) put(child, depth + 1);
      node.y = (node.children[0].y + node.children.at(-1).y) / 2;
    } else {
      node.y = row * ROW;
      row += 1;
    }
    if (depth === 2) row += 0.4; // air between lessons
  };
  put(tree, 0);
  tree.rows = row;
  return tree;
}

function picture(tree) {
  const width = COLUMNS.at(-1) + WIDTHS.at(-1) + 4;
  const svg = drawn("svg", { viewBox: `-12 -12 ${width + 20} ${Math.ceil(tree.rows * ROW) + 12}`, role: "group",
    "aria-label": "The course as a tree" });
  const lines = drawn("g", { class: "study-lines", "aria-hidden": "true" });
  const nodes = drawn("g", {});
  svg.append(lines, nodes);
  const put = (node) => {
    const link = drawn("a", { href: address(node.link), class: `study-node study-${node.state}`,
      "aria-label": told(node) });
    link.append(
      drawn("rect", { x: node.x, y: node.y, width: node.width, height: HEIGHT, rx: 6 }),
      drawn("text", { x: node.x + 10, y: node.y + HEIGHT / 2, "dominant-baseline": "central" },
        `${GLYPHS[node.state]} ${node.title}`),
    );
    nodes.append(link);
    for (const child of node.children ?? []) {
      const [x1, y1] = [node.x + node.width, node.y + HEIGHT / 2];
      const [x2, y2] = [child.x, child.y + HEIGHT / 2];
      const middle = (x1 + x2) / 2;
      lines.append(drawn("path", { d: `M${x1},${y1} C${middle},${y1} ${middle},${y2} ${x2},${y2}` }));
      put(child);
    }
  };
  put(tree);
  return svg;
}

function outline(node) {
  return element("ul", {},
    element("li", {}, element("a", { href: address(node.link) }, node.title), ` (${node.count ?? WORDS[node.state]})`,
      ...(node.children ?? []).map(outline)));
}

function told(node) {
  return `${node.title}: ${node.count ?? (node.state === "passed" ? "passed" : WORDS[node.state])}`;
}

function drawn(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
