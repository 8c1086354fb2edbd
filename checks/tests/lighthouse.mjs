// What Lighthouse gives to pages, as JSON: `node lighthouse.mjs PACKAGES CHROMIUM ENOUGH URL...`.
// A phone on a slow network, both simulated by Lighthouse from one load at full speed. A load that
// is not given ENOUGH (0 to 1) for its performance is tried again, twice at most: the best one counts.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const CATEGORIES = ["performance", "accessibility", "best-practices", "seo"];
const TRIES = 3;

const [packages, chromePath, enough, ...urls] = process.argv.slice(2);
const module = (path) => import(pathToFileURL(join(packages, path)).href);
const { default: lighthouse } = await module("lighthouse/core/index.js");
const { launch } = await module("chrome-launcher/dist/index.js");

/** Every task as long as it had the processor, so that others on this machine make none longer. */
async function inProcessorTime(folder) {
  const file = join(folder, "defaultPass.trace.json");
  const trace = JSON.parse(await readFile(file, "utf8"));
  const told = trace.traceEvents.filter((event) => "tdur" in event);
  if (!told.length) throw new Error("The trace does not tell how long a task had the processor.");
  for (const event of told) event.dur = event.tdur;
  await writeFile(file, JSON.stringify(trace));
}

async function audit(url, port, onlyCategories) {
  const folder = await mkdtemp(join(tmpdir(), "lighthouse-"));
  const flags = { port, logLevel: "silent", onlyCategories, disableFullPageScreenshot: true };
  try {
    await lighthouse(url, { ...flags, gatherMode: folder });
    await inProcessorTime(folder);
    const { lhr } = await lighthouse(url, { ...flags, auditMode: folder });
    if (lhr.runtimeError) throw new Error(lhr.runtimeError.message);
    return lhr;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The audits of a category that cost a page something, in a line each. */
const shortcomings = ({ audits }, { auditRefs }) =>
  auditRefs
    .filter(({ id, weight }) => weight && audits[id].score !== null && audits[id].score < 0.9)
    .map(({ id }) => [id, audits[id].displayValue, ...nodes(audits[id])].filter(Boolean).join(" "));

const nodes = ({ details }) => (details?.items ?? []).map(({ node }) => node?.selector).slice(0, 3);

const chrome = await launch({ chromePath, chromeFlags: ["--headless=new", "--no-sandbox"] });
try {
  const found = {};
  for (const url of urls) {
    const best = {};
    let wanted = CATEGORIES;
    for (let tries = 0; wanted.length && tries < TRIES; tries += 1) {
      const report = await audit(url, chrome.port, wanted);
      for (const [name, category] of Object.entries(report.categories))
        if (!best[name] || category.score > best[name].score)
          best[name] = { score: category.score, costs: shortcomings(report, category) };
      wanted = best.performance.score < enough ? ["performance"] : [];
    }
    found[url] = best;
  }
  console.log(JSON.stringify(found));
} finally {
  chrome.kill();
}
