// The page: loads the model, plays a camera or a file, and shows the classes as they change.

import { Chart, color, row } from "./chart.js";
import { Recognizer, obstacle } from "./recognizer.js";
import { Scores } from "./scores.js";
import { Source } from "./source.js";

const SPOKEN_AFTER = 1000; // milliseconds that a class must last to be read out
const REPORTED_EVERY = 1000;
const NOTHING = "nothing"; // no class reaches its threshold

const $ = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });
const parameters = new URLSearchParams(location.search);
const source = new Source($("video"));
const folder = new URL("model/", location.href).href;
let model;
let session = 0; // number of the video that is playing; changes when it is stopped

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

function show(names, since) {
  const text = names.join(", ");
  if ($("shown").textContent !== text) {
    $("shown").textContent = text;
    document.title = text ? `${text} · ${model.name}` : model.name;
    return performance.now();
  }
  if (performance.now() - since > SPOKEN_AFTER && $("spoken").textContent !== text) $("spoken").textContent = text;
  return since;
}

// Classify pictures until another video starts, at the chosen rate; pictures that come too late are skipped.
async function watch(recognizer, chart) {
  const current = ++session;
  const scores = new Scores(model);
  let since = 0, frames = 0, busy = 0, reported = performance.now(), next = reported;
  await recognizer.reset();
  chart.reset();
  while (current === session) {
    next = Math.max(next + 1000 / (Number($("rate").value) || model.rate), performance.now());
    await pause(next - performance.now());
    const picture = source.picture();
    if (!picture || current !== session) continue;
    const { logits, milliseconds } = await recognizer.step(picture);
    if (current !== session) return;
    scores.average = Number($("average").value) || model.average;
    const probabilities = scores.update(logits);
    chart.add(performance.now() / 1000, probabilities);
    const names = scores.shown(probabilities).map((label) => model.labels[label]);
    since = show(names.length ? names : [NOTHING], since);
    frames += 1;
    busy += milliseconds;
    const elapsed = performance.now() - reported;
    if (elapsed > REPORTED_EVERY) {
      report({ fps: (1000 * frames) / elapsed, latency: busy / frames });
      [frames, busy, reported] = [0, 0, performance.now()];
    }
  }
}

function report({ fps, latency }) {
  Object.assign($("figures").dataset, { fps, latency });
  $("figures").textContent = `${fps.toFixed(1)} frames/s · ${latency.toFixed(1)} ms per frame · ${$("figures").dataset.runtime}`;
}

function stop() {
  session += 1;
  source.close();
  show([], 0);
  $("stop").disabled = true;
  say("Stopped.");
}

// Open a source and go on with it; errors are shown.
async function play(open, then) {
  try {
    say("Opening …");
    await open();
    $("stop").disabled = false;
    say("");
    await then();
  } catch (error) {
    stop();
    say(error.message, true);
  }
}

async function loadInBrowser() {
  const problem = obstacle();
  if (problem) throw new Error(problem);
  say(`Loading the model (${(model.bytes / 2 ** 20).toFixed(1)} MiB) …`);
  const recognizer = new Recognizer();
  const { runtime, threads } = await recognizer.open(folder, parameters.get("runtime"));
  const threadText = threads === 1 ? "1 thread" : `${threads} threads`;
  $("figures").dataset.runtime = runtime === "webgpu" ? "WebGPU" : `WebAssembly, ${threadText}`;
  $("rate").value = model.rate;
  $("average").value = model.average;
  const chart = new Chart($("chart"), $("classes"), model.labels);
  const run = () => watch(recognizer, chart);
  const useCamera = () => play(() => source.openCamera(), run);
  $("camera").disabled = false;
  $("camera").onclick = useCamera;
  $("video").onseeked = () => { if (!$("stop").disabled && !$("video").srcObject) run(); };
  offerFile((file) => play(() => source.openFile(file), run));
  say("Ready. The video stays on this device.");
  if (parameters.has("camera")) await useCamera();
}

async function upload(file) {
  const form = new FormData();
  form.append("video", file);
  say("The server is reading the video …");
  const response = await fetch("v1/predict", { method: "POST", body: form });
  const answer = await response.json().catch(() => ({ detail: `status ${response.status}` }));
  if (!response.ok) throw new Error(`The server says: ${answer.detail}`);
  const { predictions } = answer;
  $("classes").replaceChildren(...predictions.map((entry) => row(entry.label, color(entry.class), entry.probability)));
  const names = predictions.filter((entry, place) => entry.applies ?? place === 0).map((entry) => entry.label);
  show(names.length ? names : [NOTHING], 0);
  $("spoken").textContent = $("shown").textContent;
  say("");
}

function loadOnServer() {
  for (const id of ["camera", "timeline", "settings", "stop"]) $(id).hidden = true;
  offerFile((file) => {
    source.openFile(file).catch(() => {}); // the server reads more formats than the browser plays
    return play(async () => {}, () => upload(file));
  });
  say(`${model.reason} Videos are sent to the server and deleted after the answer.`);
}

function offerFile(use) {
  $("open").disabled = false;
  $("open").onclick = () => $("file").click();
  $("file").onchange = () => {
    const [file] = $("file").files;
    $("file").value = "";
    if (file) use(file);
  };
}

async function main() {
  $("stop").onclick = stop;
  $("video").onended = () => { session += 1; say("The video has ended."); };
  const response = await fetch(new URL("model.json", folder));
  if (!response.ok) throw new Error(`The model's description is missing (status ${response.status}).`);
  model = await response.json();
  document.title = model.name;
  document.querySelector("h1").textContent = model.name;
  $("summary").textContent = model.summary;
  await (model.reason ? loadOnServer() : loadInBrowser());
}

main().catch((error) => say(error.message, true));
