// Python in a worker of its own: it can be ended at any time and never stops the page.
const HOME = "/home/pyodide/course";
let kernel;
let cell;

const tell = (message) => self.postMessage(message);

// -- loading: every byte that is fetched is counted, whoever asks for it --------------------------
const loaded = new Map();
let sizes = {};

function count(name, bytes) {
  loaded.set(name, Math.min(bytes, sizes[name])); // text arrives unpacked
  const sum = (values) => [...values].reduce((total, one) => total + one, 0);
  const progress = { loaded: sum(loaded.values()), total: sum(Object.values(sizes)) };
  tell({ type: "loading", stage: "download", ...progress });
  if (progress.loaded >= progress.total) tell({ type: "loading", stage: "start" });
}

function counted(response, name) {
  let bytes = 0;
  const counter = new TransformStream({
    transform(chunk, controller) {
      bytes += chunk.byteLength;
      count(name, bytes);
      controller.enqueue(chunk);
    },
  });
  return response.body.pipeThrough(counter);
}

const plainFetch = self.fetch.bind(self);

async function get(url) {
  const response = await plainFetch(url);
  if (!response.ok) throw new Error(`${new URL(url).pathname} is not there (${response.status})`);
  return response;
}

/** What Pyodide fetches: counted, and its core unpacked, as not every host compresses it. */
function countingFetch(base, version) {
  return async (address, options) => {
    const url = new URL(address.url ?? address, base);
    const name = url.pathname.split("/").pop();
    if (name === "pyodide.asm.wasm") {
      const packed = counted(await get(versioned(base, `${name}.packed`, version)), `${name}.packed`);
      const unpacked = packed.pipeThrough(new DecompressionStream("gzip"));
      return new Response(unpacked, { headers: { "Content-Type": "application/wasm" } });
    }
    if (!(name in sizes)) return plainFetch(address, options);
    url.searchParams.set("v", version);
    const response = await get(url.href);
    return new Response(counted(response, name), { headers: response.headers });
  };
}

function versioned(base, name, version) {
  const url = new URL(name, base);
  url.searchParams.set("v", version); // a new bundle is never mixed with an old one's files
  return url.href;
}

async function boot({ base, kept }) {
  const started = performance.now();
  const manifest = await (await plainFetch(new URL("manifest.json", base), { cache: "no-cache" })).json();
  const { key } = manifest;
  const fetched = Object.entries(manifest.files).filter(([name]) => !name.endsWith(".mjs"));
  sizes = Object.fromEntries(fetched); // how far an import of a module is, nobody tells
  self.fetch = countingFetch(base, key);

  const archive = get(versioned(base, "packages.zip", key)).then((response) =>
    new Response(counted(response, "packages.zip")).arrayBuffer(),
  );
  const hashing = import(versioned(base, "argon2.mjs", key)).then((module) => module.load());
  const { loadPyodide } = await import(versioned(base, "pyodide.mjs", key));
  const python = await loadPyodide({ indexURL: base, fullStdLib: false, env: { HOME: "/home/pyodide" } });
  const marks = { python: performance.now() - started };

  const packages = await archive;
  tell({ type: "loading", stage: "unpack" });
  python.unpackArchive(packages, "zip", { extractDir: "/" });
  marks.unpacked = performance.now() - started;

  tell({ type: "loading", stage: "import" });
  python.registerJsModule("argon2_in_page", { compute: await hashing });
  python.runPython(`import importlib, sys; sys.path.insert(0, ${JSON.stringify(HOME)}); importlib.invalidate_caches()`);
  const page = python.pyimport("checks.website.browser.page");
  page.prepare();
  kernel = page.start((message) => tell({ ...JSON.parse(message), cell }), JSON.stringify(kept));
  marks.ready = performance.now() - started;
  tell({ type: "ready", marks, version: python.runPython("import sys; sys.version.split()[0]") });
}

self.onmessage = async ({ data }) => {
  try {
    if (data.type === "boot") await boot(data);
    else if (data.type === "restart") kernel.restart();
    else if (data.type === "run") {
      cell = data.cell;
      const ok = await kernel.run(data.cell, data.source);
      tell({ type: "done", cell: data.cell, ok });
    }
  } catch (error) {
    tell({ type: "broken", reason: String(error?.message ?? error) });
  }
};
