// The page: takes recordings, asks the server, shows what it says. Talks to this server only.

import { Recorder, microphoneProblem } from "./recorder.js";
import { Player, clock } from "./player.js";
import { decode } from "./sound.js";
import { answer, bars, modelCard, segmentRows } from "./words.js";

const element = (id) => document.getElementById(id);
const entries = []; // { file, prediction, prepared, samples, playable }
let current = null;
let models = [];
let uploadBytes = Infinity;
let recorder = null; // while recording

const player = new Player(
  {
    canvas: element("picture"), head: element("head"), seek: element("seek"), play: element("play"),
    icon: element("play-icon"), time: element("time"), zoomIn: element("zoom-in"), zoomOut: element("zoom-out"),
  },
  { onTime: markSegment, onPick: (segment) => choose(segment) },
);

function say(text, busy = false) {
  element("status").textContent = text;
  element("status").classList.toggle("busy", busy);
}

/** Say what went wrong; a recording that exists nowhere else can be saved, and waits for that. */
function problem(text, recording = null) {
  const line = document.createElement("p");
  line.className = "problem";
  line.textContent = text;
  if (recording) {
    const keep = document.createElement("button");
    keep.type = "button";
    keep.className = "link";
    keep.textContent = "Save the recording";
    keep.addEventListener("click", () => {
      save(recording, recording.name);
      line.classList.remove("unsaved");
    });
    line.classList.add("unsaved");
    line.append(" ", keep);
  }
  element("problems").append(line);
}

function forgetProblems() {
  for (const line of element("problems").querySelectorAll(".problem:not(.unsaved)")) line.remove();
}

async function ask(path, options) {
  const response = await fetch(path, options);
  if (response.ok) return response;
  const reason = await response.json().then((body) => body.error, () => response.statusText);
  throw new Error(reason);
}

async function judge(files, recorded = false) {
  forgetProblems();
  let first = null;
  for (const [number, file] of files.entries()) {
    say(`Listening to ${file.name}${files.length > 1 ? ` (${number + 1} of ${files.length})` : ""} …`, true);
    const form = new FormData();
    form.append("files", file);
    try {
      const response = await ask("/api/predict?timeline=true", { method: "POST", body: form });
      const [prediction] = (await response.json()).predictions;
      entries.push({ file, prediction });
      first ??= entries.at(-1);
      listFiles();
      if (entries.at(-1) === first) await show(first);
    } catch (error) {
      const text = error.message.includes(file.name) ? error.message : `${file.name}: ${error.message}`;
      problem(text, recorded ? file : null);
    }
  }
  say(first ? "" : files.length ? "Nothing could be judged." : "");
  if (first) element("name").focus();
}

async function show(entry) {
  current = entry;
  element("results").hidden = false;
  element("drop").classList.add("small");
  element("drop-title").textContent = "Another recording?";
  element("name").textContent = entry.file.name;
  const { segments } = entry.prediction;
  element("length").textContent = `${clock(segments.at(-1)?.end ?? 0, 1)} long`;
  element("segments").replaceChildren(...segmentRows(segments, (segment) => choose(segment)));
  element("silent-view").hidden = true;
  player.chosen = null;
  player.show(entry.playable ?? null, entry.samples ?? null, segments);
  showWhole();
  listFiles();
  entry.prepared ??= prepare(entry);
  await entry.prepared;
  if (entry !== current) return; // another one was picked meanwhile
  element("silent-view").hidden = entry.samples !== null;
  element("silent-view").textContent = "This recording cannot be played or drawn here; its labels and times are right.";
  if (player.samples !== entry.samples) player.show(entry.playable, entry.samples, segments);
  say("");
}

/** Samples to draw and a blob to play; the server decodes what this browser cannot. */
async function prepare(entry) {
  const candidates = [
    async () => entry.file,
    async () => {
      const form = new FormData();
      form.append("files", entry.file);
      return (await ask("/api/listen", { method: "POST", body: form })).blob();
    },
  ];
  [entry.samples, entry.playable] = [null, null];
  for (const candidate of candidates) {
    try {
      const blob = await candidate();
      entry.samples = await decode(await blob.arrayBuffer());
      entry.playable = blob;
      return;
    } catch { /* the next candidate, or no picture */ }
  }
}

function showWhole() {
  const { prediction } = current;
  answer(prediction, models.at(0), {
    verdict: element("verdict"), certainty: element("certainty"), warnings: element("warnings"),
  });
  element("bars-title").textContent = "Probabilities";
  element("whole").hidden = true;
  bars(element("bars"), prediction.probabilities);
}

/** Show a segment's probabilities and play it. */
function choose(segment) {
  player.chosen = segment;
  player.draw();
  if (Object.keys(segment.probabilities).length) {
    element("bars-title").textContent = `Probabilities, ${clock(segment.start, 1)} to ${clock(segment.end, 1)}`;
    bars(element("bars"), segment.probabilities);
    element("whole").hidden = false;
  }
  player.playSegment(segment);
}

function markSegment(time) {
  const rows = element("segments").querySelectorAll("button");
  const segments = current?.prediction.segments ?? [];
  segments.forEach((segment, n) => {
    const here = time >= segment.start && time < segment.end;
    if (rows[n] && (rows[n].getAttribute("aria-current") === "true") !== here) {
      rows[n].setAttribute("aria-current", String(here));
    }
  });
}

function listFiles() {
  element("list").hidden = entries.length < 2;
  element("list").replaceChildren(...entries.map((entry) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-current", String(entry === current));
    const dot = document.createElement("span");
    dot.className = "dot";
    dot.style.setProperty("--colour", `var(--${entry.prediction.emotion})`);
    const name = document.createElement("span");
    name.textContent = `${entry.file.name}: ${entry.prediction.emotion}`;
    button.append(dot, name);
    button.addEventListener("click", () => show(entry));
    return button;
  }));
}

async function download(format) {
  const { prediction, file } = current;
  const body = JSON.stringify(prediction, null, 1);
  let content = body;
  if (format !== "json") {
    const headers = { "content-type": "application/json" };
    const response = await ask(`/api/export?format=${format}`, { method: "POST", body, headers });
    content = await response.text();
  }
  const ending = { textgrid: "TextGrid" }[format] ?? format;
  const blob = new Blob([content], { type: "application/octet-stream" });
  save(blob, `${file.name.replace(/\.[^.]*$/, "")}.${ending}`);
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function record() {
  const button = element("record"), canvas = element("level"), levels = [];
  forgetProblems();
  button.disabled = true; // a second click would open the microphone twice
  const opened = new Recorder(uploadBytes, (peak, seconds) => {
    levels.push(peak);
    drawLevels(canvas, levels);
    element("clock").textContent = clock(seconds);
    if (seconds >= opened.longest) finish(true);
  });
  try {
    await opened.start();
  } catch (error) {
    problem(microphoneProblem(error));
    await opened.stop();
    button.disabled = false;
    button.focus();
    return;
  }
  button.disabled = false;
  recorder = opened;
  player.pause();
  element("clock").textContent = "0:00";
  element("choose").hidden = true;
  element("recording").hidden = false;
  element("stop").focus();
  say(`Recording. Nothing leaves this page before you stop, or ${clock(recorder.longest)} is reached.`);
}

async function finish(keep) {
  if (!recorder) return; // it has ended already
  const ended = recorder;
  recorder = null;
  const file = await ended.stop();
  element("choose").hidden = false;
  element("recording").hidden = true;
  element("record").focus();
  say("");
  if (keep) await judge([file], true);
}

function drawLevels(canvas, levels) {
  const pen = canvas.getContext("2d"), { width, height } = canvas;
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = getComputedStyle(canvas).getPropertyValue("--accent");
  levels.slice(-width / 5).forEach((peak, n) => {
    const size = Math.max(2, Math.min(1, Math.sqrt(peak)) * height);
    pen.fillRect(n * 5, (height - size) / 2, 3, size);
  });
}

function acceptDrops() {
  const drop = element("drop");
  for (const name of ["dragover", "drop", "dragleave"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length) judge([...event.dataTransfer.files]);
    });
  }
}

async function begin() {
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  element("privacy").textContent = local
    ? "Recordings stay on this computer. They are judged here and not kept; this page sends nothing to anyone else."
    : `Recordings go to ${location.hostname} and nowhere else. They are judged there and not kept.`;
  element("files").addEventListener("change", ({ target }) => {
    const files = [...target.files];
    target.value = "";
    judge(files);
  });
  element("record").addEventListener("click", record);
  element("stop").addEventListener("click", () => finish(true));
  element("discard").addEventListener("click", () => finish(false));
  element("whole").addEventListener("click", () => {
    player.chosen = null;
    player.draw();
    showWhole();
  });
  element("exports").addEventListener("click", ({ target }) => {
    if (target.dataset.format) download(target.dataset.format).catch((error) => problem(error.message));
  });
  acceptDrops();
  try {
    uploadBytes = (await (await ask("/api/health")).json()).upload_bytes;
    models = await (await ask("/api/models")).json();
  } catch (error) {
    problem(`The server does not answer: ${error.message}`);
  }
  for (const model of models) {
    try {
      element("cards").append(modelCard(model));
    } catch {
      problem(`What the model ${model.name} says about itself cannot be shown; it can be used all the same.`);
    }
  }
}

begin();
