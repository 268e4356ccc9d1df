// The page: takes recordings, asks the server, shows what it says. Talks to this server only.
//
// A panel shows one aspect of a recording. It is a function of the page that gives back `element`, its
// part of the page; `show(entry)`, called for each recording; and, where it needs them, `choose(segment)`
// for a segment that is picked (null: the whole recording), `at(seconds)` for the player's position, and
// `pause()`. To add one, write its module and put it into PANELS; its looks are in style.css.

import { answerPanel } from "./answer.js";
import { exportPanel } from "./export.js";
import { modelCard } from "./model.js";
import { ask, clock, coloured, make, save, upload } from "./parts.js";
import { playerPanel } from "./player.js";
import { Recorder, microphoneProblem } from "./recorder.js";
import { timelinePanel } from "./timeline.js";

const PANELS = [answerPanel, playerPanel, timelinePanel, exportPanel];

const element = (id) => document.getElementById(id);
const entries = []; // { file, prediction }, and what the player adds
let current = null;
let uploadBytes = Infinity;
let recorder = null; // while recording

const page = {
  models: [], // their cards, the default first
  problem,
  choose: (segment) => panels.forEach((panel) => panel.choose?.(segment)),
  at: (time) => panels.forEach((panel) => panel.at?.(time)),
};
const panels = PANELS.map((panel) => panel(page));

function say(text, busy = false) {
  element("status").textContent = text;
  element("status").classList.toggle("busy", busy);
}

/** Say what went wrong; a recording that exists nowhere else can be saved, and waits for that. */
function problem(text, recording = null) {
  const line = make("p", "problem", text);
  if (recording) {
    const click = () => {
      save(recording, recording.name);
      line.classList.remove("unsaved");
    };
    line.classList.add("unsaved");
    line.append(" ", make("button", { class: "link", type: "button", click }, "Save the recording"));
  }
  element("problems").append(line);
}

function forgetProblems() {
  for (const line of element("problems").querySelectorAll(".problem:not(.unsaved)")) line.remove();
}

async function predict(files, recorded = false) {
  forgetProblems();
  let first = null;
  for (const [number, file] of files.entries()) {
    say(`Analysing ${file.name}${files.length > 1 ? ` (${number + 1} of ${files.length})` : ""} …`, true);
    try {
      const response = await upload("/api/predict?timeline=true", file);
      // Two of a recording whose channels hold different speech.
      const found = (await response.json()).predictions.map((prediction) => ({ file, prediction }));
      entries.push(...found);
      listFiles();
      if (!first) await show(first = found[0]);
    } catch (error) {
      const text = error.message.includes(file.name) ? error.message : `${file.name}: ${error.message}`;
      problem(text, recorded ? file : null);
    }
  }
  say(first || !files.length ? "" : "No recording could be used.");
  if (first) element("name").focus();
}

async function show(entry) {
  current = entry;
  element("results").hidden = false;
  element("drop").classList.add("small");
  element("drop-title").textContent = "Add another recording";
  element("name").textContent = title(entry);
  const { segments } = entry.prediction;
  element("length").textContent = `${clock(segments.at(-1)?.end ?? 0, 1)} long`;
  const shown = panels.map((panel) => panel.show(entry));
  listFiles();
  await Promise.all(shown);
  if (entry === current) say("");
}

/** The file, and which of its channels. */
function title({ file, prediction: { channel } }) {
  return channel ? `${file.name} (${channel})` : file.name;
}

function listFiles() {
  element("list").hidden = entries.length < 2;
  element("list").replaceChildren(...entries.map((entry) => {
    const { emotion, uncertain } = entry.prediction;
    const dot = coloured(make("span", "dot"), emotion);
    const name = make("span", "", `${title(entry)}: ${uncertain ? "perhaps " : ""}${emotion}`);
    return make("button", { type: "button", "aria-current": entry === current, click: () => show(entry) }, dot, name);
  }));
}

let informed = false; // in this visit; nothing is stored

/** Show the notice once before the microphone opens. Tells whether to go on. */
function inform() {
  const notice = element("notice");
  if (informed) return true;
  notice.returnValue = "";
  notice.showModal();
  return new Promise((done) => {
    notice.onclose = () => notice.open || done(informed = notice.returnValue === "agree");
  });
}

async function record() {
  if (!(await inform())) return;
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
  panels.forEach((panel) => panel.pause?.());
  element("clock").textContent = "0:00";
  element("choose").hidden = true;
  element("recording").hidden = false;
  element("stop").focus();
  say(`Recording. Nothing leaves this page until you stop, or until ${clock(recorder.longest)} is reached.`);
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
  if (keep) await predict([file], true);
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
      if (name === "drop" && event.dataTransfer.files.length) predict([...event.dataTransfer.files]);
    });
  }
}

async function begin() {
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  element("privacy").textContent = local
    ? "Recordings stay on this computer. They are analysed here and are not stored; nothing is sent anywhere else."
    : `Recordings are sent to ${location.hostname} and nowhere else. They are analysed there and are not stored.`;
  element("files").addEventListener("change", ({ target }) => {
    const files = [...target.files];
    target.value = "";
    predict(files);
  });
  element("record").addEventListener("click", record);
  element("stop").addEventListener("click", () => finish(true));
  element("discard").addEventListener("click", () => finish(false));
  element("sheet").append(...panels.map((panel) => panel.element));
  acceptDrops();
  try {
    uploadBytes = (await (await ask("/api/health")).json()).upload_bytes;
    page.models = await (await ask("/api/models")).json();
  } catch (error) {
    problem(`The server does not answer: ${error.message}`);
  }
  for (const model of page.models) {
    try {
      element("cards").append(modelCard(model));
    } catch {
      problem(`The model card of ${model.name} cannot be shown. The model works anyway.`);
    }
  }
}

begin();
