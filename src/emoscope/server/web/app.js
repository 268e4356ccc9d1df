// The page: takes recordings, asks the engine, shows what it says. Talks to the site it came from only.
//
// A panel shows one aspect of a recording. It is a function of the page that gives back `element`, its
// part of the page; `show(entry)`, called for each recording; and, where it needs them, `update(entry)`
// when the labels of the shown recording have changed, `choose(segment)` for a segment that is picked (null:
// the whole recording), `view(seconds)` for a minute that is, `at(seconds)` for the player's position, and
// `pause()`. To add one, write its module and put it into PANELS; its looks are in style.css.

import { answerPanel } from "./answer.js";
import { correctionsPanel } from "./corrections.js";
import { openEngine } from "./engine.js";
import { exportPanel } from "./export.js";
import { minutesPanel } from "./minutes.js";
import { modelCard } from "./model.js";
import { clock, coloured, ending, make, save, title, verdict } from "./parts.js";
import { playerPanel } from "./player.js";
import { microphone } from "./recorder.js";
import { timelinePanel } from "./timeline.js";
import { Work } from "./work.js";

const PANELS = [answerPanel, playerPanel, minutesPanel, timelinePanel, correctionsPanel, exportPanel];

const element = (id) => document.getElementById(id);
const entries = []; // { file, prediction }, `partial` while it is analysed, and what the panels add
const waiting = []; // { file, recorded } to analyse
const work = new Work(element);
let current = null;

const page = {
  entries,
  engine: null,
  models: [], // their cards, the default first
  problem,
  async choose(segment, entry = current) {
    if (entry !== current) await show(entry);
    panels.forEach((panel) => panel.choose?.(segment));
  },
  view: (start) => panels.forEach((panel) => panel.view?.(start, start + 60)),
  update: () => panels.forEach((panel) => panel.update?.(current)),
  at: (time) => panels.forEach((panel) => panel.at?.(time)),
};
const panels = PANELS.map((panel) => panel(page));

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

/** Analyse files one after the other, with those that are added meanwhile. */
async function predict(files, recorded = false) {
  forgetProblems();
  waiting.push(...files.map((file) => ({ file, recorded })));
  if (work.busy || !waiting.length) return;
  let first = null, done = 0;
  await work.run(async (signal) => {
    const engine = await opening.catch(() => null);
    while (engine && waiting.length && !signal.aborted) {
      const { file, recorded: only } = waiting[0], of = done + waiting.length;
      work.say(`Analysing ${file.name}${of > 1 ? ` (${done + 1} of ${of})` : ""} …`);
      try {
        const found = await predictOne(engine, file, signal, (entry) => (first ? null : show(first = entry)));
        for (const { file: name, reason } of found.errors ?? []) problem(`${name}: ${reason}`);
      } catch (error) {
        if (signal.aborted) break;
        const text = error.message.includes(file.name) ? error.message : `${file.name}: ${error.message}`;
        problem(text, only ? file : null);
      }
      waiting.shift();
      done++;
    }
  });
  const left = waiting.splice(0);
  for (const { file, recorded: only } of left) problem(`${file.name}: not analysed to the end.`, only ? file : null);
  if (!first && !left.length) work.say("No recording could be used.");
  if (first) element("name").focus();
  if (element("together").checked) await labelTogether();
}

/** Analyse one file, and show what is known of it as soon as the engine tells. */
async function predictOne(engine, file, signal, onFirst) {
  const mine = [];
  let next = 0; // when a part is shown again: not more than once a second
  async function take(predictions, partial) {
    predictions.forEach((prediction, n) => {
      // A channel begins anew when the mix of both is there already, which is shown until both are complete.
      if (mine[n] && partial && prediction.channel) return null;
      if (mine[n]) return Object.assign(mine[n], { prediction, partial });
      mine.push({ file, prediction, partial });
      return entries.push(mine[n]);
    });
    if (!mine.length) return;
    await onFirst(mine[0]);
    if (mine.includes(current)) renew();
    listFiles();
  }
  try {
    const progress = (fraction, partial) => {
      work.progress(fraction);
      const channel = partial?.at(0)?.channel;
      if (channel) work.say(`Analysing ${file.name}: ${channel} channel …`);
      if (!partial?.length || signal.aborted || performance.now() < next) return;
      const begun = performance.now();
      take(partial, true);
      next = performance.now() + Math.max(1000, 10 * (performance.now() - begun));
    };
    const by = element("voices").checked ? "speaker" : "channel", speakers = by === "speaker" ? element("speakers").value : "";
    const found = await engine.predict(file, { by, speakers, progress, signal });
    await take(found.predictions, false);
    return found;
  } catch (error) {
    for (const entry of mine) keepPart(entry);
    throw error;
  }
}

/** Keep what was analysed before the end, and say so wherever it is shown or written. */
function keepPart(entry) {
  const { prediction } = entry;
  const said = `incomplete: the analysis ended after ${clock(ending(prediction.segments), 1)}`;
  entry.prediction = { ...prediction, warnings: [said, ...prediction.warnings] };
  entry.partial = false;
  if (entry === current) renew();
}

async function show(entry) {
  current = entry;
  element("results").hidden = false;
  element("drop").classList.add("small");
  element("drop-title").textContent = "Add another recording";
  tellWhat();
  const shown = panels.map((panel) => panel.show(entry));
  listFiles();
  await Promise.all(shown);
}

/** Show again what is shown: its labels have changed. */
function renew() {
  tellWhat();
  page.update();
}

function tellWhat() {
  element("name").textContent = title(current);
  const length = clock(ending(current.prediction.segments), 1);
  element("length").textContent = current.partial ? `${length} analysed so far` : `${length} long`;
}

function listFiles() {
  element("list").hidden = entries.length < 2;
  element("togetherness").hidden = new Set(entries.map(({ file }) => file)).size < 2; // channels are two speakers
  element("list").setAttribute("aria-label", `Recordings: ${entries.length}`);
  element("list").replaceChildren(...entries.map((entry) => {
    const said = verdict(entry.prediction), { emotion } = entry.prediction;
    const dot = coloured(make("span", "dot"), said === emotion || said === "not sure" ? emotion : "");
    const name = make("span", { class: "file", title: title(entry) }, title(entry));
    const text = make("span", "", `: ${said === "not sure" ? "perhaps " : ""}${said === "not sure" ? emotion : said}`);
    return make("button", { type: "button", "aria-current": entry === current, click: () => show(entry) }, dot, name, text);
  }));
}

/** Label the recordings at hand as of one source, or each by itself again, and say what that changed. */
async function labelTogether() {
  const said = element("together-said");
  for (const entry of entries) entry.prediction = entry.alone ?? entry.prediction;
  said.textContent = "";
  if (element("together").checked && entries.length > 1 && !work.busy) {
    try {
      await work.run(async (signal) => {
        work.say("Labelling the recordings together …");
        const found = await page.engine.label(entries, { signal, progress: (fraction) => work.progress(fraction) });
        said.textContent = takeTogether(found);
      });
    } catch (error) {
      if (error.name !== "AbortError") problem(error.message);
      element("together").checked = false;
    }
    work.say("");
  }
  if (current) renew();
  listFiles();
  predict([]); // what was added meanwhile
}

function takeTogether(found) {
  const before = entries.map(({ prediction }) => prediction.emotion);
  let together = 0;
  entries.forEach((entry, n) => {
    if (!found[n]?.warnings.some((text) => text.startsWith("together:"))) return;
    together++;
    entry.alone = entry.prediction;
    // The label is of the whole recording: its segments keep theirs.
    entry.prediction = { ...found[n], segments: found[n].segments.length ? found[n].segments : entry.alone.segments };
  });
  if (!together) return "Nothing changed: it takes two recordings with speech, of at most 15 seconds, and a model that can.";
  const changed = entries.filter(({ prediction }, n) => prediction.emotion !== before[n]).length;
  const others = entries.length - together;
  return `${together} recordings are labelled relative to each other; ${changed} of their labels changed.`
    + (others ? ` ${others === 1 ? "One other keeps its" : `${others} others keep their`} own label${others === 1 ? "" : "s"}.` : "");
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

/** What is true of the engine: where a recording goes. */
function privacy({ kind }) {
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  const where = kind === "tab"
    ? "Recordings cannot leave this tab: the model runs in it, and the page holds nothing that sends them."
    : local ? "Recordings stay on this computer. They are analysed here and are not stored; nothing is sent anywhere else."
      : `Recordings are sent to ${location.hostname} and nowhere else. They are analysed there and are not stored.`;
  return `${where} Labels that you correct are kept in this browser until you clear them.`;
}

/** Example recordings to choose, where the engine brings some. */
function offerExamples(examples = []) {
  element("examples").hidden = !examples.length;
  for (const { name, file } of examples) {
    const click = async () => {
      const response = await fetch(file);
      if (!response.ok) return problem(`${name}: ${response.statusText}`);
      return predict([new File([await response.blob()], file.split("/").at(-1))]);
    };
    element("example-buttons").append(make("button", { class: "link", type: "button", click }, name));
  }
  element("example-source").textContent = [...new Set(examples.map(({ source }) => source))].join("; ");
}

async function begin() {
  element("files").addEventListener("change", ({ target }) => {
    const files = [...target.files];
    target.value = "";
    predict(files);
  });
  element("together").addEventListener("change", labelTogether);
  element("voices").addEventListener("change", ({ target }) => { element("count-choice").hidden = !target.checked; });
  microphone(element, page, { predict, say: (text) => work.say(text), forgetProblems, pause: () => panels.forEach((panel) => panel.pause?.()) });
  element("sheet").append(...panels.map((panel) => panel.element));
  acceptDrops();
  try {
    page.engine = await opening;
    element("privacy").textContent = privacy(page.engine);
    for (const link of document.querySelectorAll(".of-server")) link.hidden = page.engine.kind !== "server";
    element("voices-choice").hidden = !page.engine.voices;
    offerExamples(page.engine.examples);
    page.models = await page.engine.models();
  } catch (error) {
    problem(`The recogniser cannot be used: ${error.message}`);
    work.isLoading = false;
  }
  work.end();
  for (const model of page.models) {
    try {
      element("cards").append(modelCard(model));
    } catch {
      problem(`The model card of ${model.name} cannot be shown. The model works anyway.`);
    }
  }
}

const opening = openEngine({ progress: (loaded, total) => work.loading(loaded, total) });
opening.catch(() => {}); // said by begin
begin();
