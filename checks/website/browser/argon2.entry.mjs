// Argon2id as WebAssembly in one file, bundled when the site is built.
import setup from "argon2id/lib/setup.js";
import simd from "argon2id/dist/simd.wasm";
import plain from "argon2id/dist/no-simd.wasm";

/** A function of password, salt, KiB, passes, lanes and length that gives the raw hash. */
export async function load() {
  const compute = await setup(
    (imports) => WebAssembly.instantiate(simd, imports),
    (imports) => WebAssembly.instantiate(plain, imports),
  );
  const bytes = (value) => (value.toJs ? value.toJs() : value);
  return (password, salt, memorySize, passes, parallelism, tagLength) =>
    compute({ password: bytes(password), salt: bytes(salt), memorySize, passes, parallelism, tagLength });
}
