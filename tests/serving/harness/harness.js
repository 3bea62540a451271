// Runs in a browser: watches the page classify the camera, classifies the given frames, if any, with the page's own
// modules, and reports both to the test.

import { Recognizer } from "/recognizer.js";
import { cropped } from "/pixels.js";

const SECONDS = 3; // on camera, after the first class is shown
const page = () => document.getElementById("page").contentDocument;
const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

async function givenFrames() {
  const given = await (await fetch("frames.json")).json();
  if (!given) return {};
  const { frames, width, height, input } = given;
  const pictures = frames.map((base64) => Uint8ClampedArray.from(atob(base64), (character) => character.charCodeAt(0)));
  const recognizer = new Recognizer();
  const opened = await recognizer.open(new URL("/model/", location.href).href, "wasm");
  const crops = pictures.map((pixels) => btoa(String.fromCharCode(...cropped({ pixels, width, height }, input))));
  const logits = [];
  for (const pixels of pictures) logits.push((await recognizer.step({ pixels: pixels.slice(), width, height })).logits);
  return { opened, crops, logits };
}

async function camera() {
  const shown = {};
  let end = Infinity;
  while (performance.now() < end) {
    await pause(50);
    const problem = page()?.querySelector(".error")?.textContent;
    if (problem) throw new Error(problem);
    const text = page()?.getElementById("shown")?.textContent;
    if (!text) continue;
    if (end === Infinity) end = performance.now() + 1000 * SECONDS;
    shown[text] = (shown[text] ?? 0) + 1;
  }
  const { fps, latency, runtime } = page().getElementById("figures").dataset;
  const rows = [...page().querySelectorAll("#classes li")].map((entry) => entry.innerText);
  return { shown, fps: Number(fps), latency: Number(latency), runtime, rows, curves: page().querySelectorAll("polyline").length };
}

async function main() {
  try {
    const seen = await camera();
    return { ...(await givenFrames()), ...seen, isolated: crossOriginIsolated };
  } catch (error) {
    return { error: error.stack };
  }
}

await fetch("result", { method: "POST", body: JSON.stringify(await main()) });
