// The network, in a thread of its own: one frame in, logits out, the state stays here.

import { networkInput } from "./pixels.js";

const TOLERANCE = 1e-3; // relative to the largest logit
const MOST_THREADS = 4;

let ort, model, session, state;

const runtimes = {
  webgpu: { module: "./ort/ort.webgpu.min.mjs", suitable: hasGraphics },
  wasm: { module: "./ort/ort.wasm.min.mjs", suitable: async () => true },
};

async function hasGraphics() {
  const adapter = await navigator.gpu?.requestAdapter();
  return Boolean(adapter) && !adapter.info?.isFallbackAdapter; // which is software, slower than WebAssembly
}

function reset() {
  const zeros = (shape) => new ort.Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  state = Object.fromEntries(model.states.map(({ input, shape }) => [input, zeros(shape)]));
}

async function advance(values) {
  const frames = new ort.Tensor("float32", values, [1, 3, ...model.input.crop]);
  const outputs = await session.run({ frames, ...state });
  state = Object.fromEntries(model.states.map(({ input, output }) => [input, outputs[output]]));
  return outputs.logits.data;
}

// The largest difference from the logits that Python computed for the same frames.
async function difference() {
  const [height, width] = model.input.crop;
  const values = Float32Array.from({ length: 3 * height * width }, (_, i) => ((i * 37) % 255) / 127.5 - 1);
  let worst = 0;
  reset();
  for (const expected of model.proof) {
    const found = await advance(values.slice());
    const peak = Math.max(...expected.map(Math.abs));
    expected.forEach((value, place) => { worst = Math.max(worst, Math.abs(found[place] - value) / peak); });
  }
  reset();
  return worst;
}

async function start(name, weights) {
  ort = await import(runtimes[name].module);
  ort.env.logLevel = "error";
  ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
  session = await ort.InferenceSession.create(weights, { executionProviders: [name] });
  const worst = await difference();
  if (!(worst <= TOLERANCE)) throw new Error(`${name}: differs from the checkpoint by ${worst.toPrecision(2)}`);
  return { runtime: name, threads: ort.env.wasm.numThreads, difference: worst };
}

async function open({ address, only }) {
  model = await (await fetch(new URL("model.json", address))).json();
  const response = await fetch(new URL(model.file, address));
  if (!response.ok) throw new Error(`${model.file}: status ${response.status}`);
  const weights = new Uint8Array(await response.arrayBuffer());
  const failures = [];
  for (const [name, { suitable }] of Object.entries(runtimes)) {
    if (only ? only !== name : !(await suitable())) continue;
    try {
      return await start(name, weights);
    } catch (error) {
      failures.push(error.message);
    }
  }
  throw new Error(`the model does not run in this browser (${failures.join("; ") || "no runtime"})`);
}

async function step(picture) {
  const began = performance.now();
  const logits = await advance(networkInput(picture, model.input));
  return { logits: Array.from(logits), milliseconds: performance.now() - began };
}

const calls = { open, step, reset };

self.onmessage = async ({ data: { id, call, options } }) => {
  try {
    self.postMessage({ id, result: await calls[call](options) });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
