// The model behind promises; its worker computes.

const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]); // a WebAssembly program with one vector instruction

// Why this browser cannot run any model; empty if it can.
export function obstacle() {
  if (typeof WebAssembly !== "object") return "This browser has no WebAssembly.";
  if (!WebAssembly.validate(SIMD)) return "This browser lacks WebAssembly SIMD. Update it, or use another one.";
  return "";
}

export class Recognizer {
  #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #calls = 0;

  constructor() {
    this.#worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    };
    this.#worker.onerror = ({ message }) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(message || "the worker cannot be loaded"));
      this.#waiting.clear();
    };
  }

  #call(call, options, transferred = []) {
    return new Promise((resolve, reject) => {
      const id = this.#calls++;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, call, options }, transferred);
    });
  }

  // Load a folder with model.json; returns { runtime, threads, difference }. `only`: "wasm" or "webgpu".
  open(address, only) { return this.#call("open", { address, only }); }

  // Classify the next picture { pixels (RGBA), width, height }; returns { logits, milliseconds }.
  step(picture) { return this.#call("step", picture, [picture.pixels.buffer]); }

  // Begin a new video.
  reset() { return this.#call("reset"); }
}
