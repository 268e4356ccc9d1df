// Panel: what a visitor knows better. Corrected and confirmed labels are kept in this browser, by a hash of
// the recording, and saved as a table that emoscope reads as a labelled corpus. A server adapts its model to them.

import { adaptation } from "./adapting.js";
import { stem } from "./export.js";
import { clock, isSpeech, label, make, percent, save, title } from "./parts.js";
import { csv, rowsOf } from "./rows.js";

const PREFIX = "emoscope:corrections:";
const LARGE = 100_000_000; // bytes; of a larger recording its two ends are hashed, and its size

export function correctionsPanel(page) {
  const which = make("p", { class: "which", id: "which" });
  const emotion = make("select", { id: "emotion" });
  const speaker = make("input", { id: "speaker", autocomplete: "off", maxlength: 60 });
  const keep = make("button", { id: "keep", class: "button main" }, "Save label");
  const next = make("button", { id: "next", class: "button", type: "button", click: () => offer() }, "Next uncertain segment");
  const form = make("form", { submit: (event) => event.preventDefault() || correct() }, which,
    make("label", "", "Emotion", emotion), make("label", "", "Speaker", speaker), keep);
  const said = make("p", { id: "checked", class: "note", role: "status" });
  const button = (id, text, click) => make("button", { id, class: "button", type: "button", click }, text);
  const files = make("div", "buttons",
    button("corrections-csv", "CSV", () => download("csv")), button("corrections-json", "JSON", () => download("json")),
    button("clear", "Clear", () => clear()));
  const adapting = adaptation(page, checked);
  let entry = null, segment = null;

  const open = () => entry.prediction.segments.filter((one) => isSpeech(one) && label(entry, one) === one)
    .sort((a, b) => margin(a) - margin(b));

  function offer() {
    const [first] = open();
    if (first) page.choose(first);
    emotion.focus();
  }

  function correct() {
    const corrections = new Map(entry.corrections);
    const { start, end, emotion: before } = segment;
    const named = { start, end, speaker: speaker.value.trim(), emotion: emotion.value, corrected: emotion.value !== before };
    change(corrections.set(`${start}-${end}`, named));
  }

  function clear() {
    if (confirm(`Clear the ${entry.corrections.size} checked labels of ${title(entry)}?`)) change(new Map());
  }

  function change(corrections) {
    entry.corrections = corrections;
    try {
      store(entry);
    } catch {
      entry.unkept = true; // no room, or storage is turned off
    }
    page.update();
  }

  /** The recordings of the page that have corrections; those that were never shown may have some as well. */
  async function checked() {
    const unseen = page.entries.filter(({ partial, corrections }) => !partial && !corrections);
    await Promise.all(unseen.map(restore));
    return page.entries.filter(({ corrections }) => corrections?.size);
  }

  /** The corrections of all recordings on the page, in one table. */
  async function download(format) {
    const entries = await checked(), rows = rowsOf(entries, ({ name }) => name);
    const text = format === "json" ? JSON.stringify(rows, null, 1) : csv(rows);
    const name = entries.length > 1 ? "corrections" : `${stem(entries[0])}-corrections`;
    save(new Blob([text], { type: "application/octet-stream" }), `${name}.${format}`);
  }

  function show() {
    const { size } = entry.corrections ?? [], left = open().length;
    const changed = [...entry.corrections?.values() ?? []].filter(({ corrected }) => corrected).length;
    const unkept = entry.unkept ? " This browser does not keep them: download them before you leave." : "";
    said.textContent = size ? `${size} checked, ${changed} of them corrected; ${left} not checked.${unkept}` : "";
    const any = page.entries.some(({ corrections }) => corrections?.size);
    files.hidden = adapting.element.hidden = !any;
    files.lastChild.hidden = !size; // which clears those of this recording
    next.disabled = !left;
    form.hidden = !segment;
    if (!segment) return;
    const { emotion: chosen, speaker: who = "" } = label(entry, segment);
    which.textContent = `${clock(segment.start, 1)} – ${clock(segment.end, 1)}: the model says ${segment.emotion}, ${percent(segment.confidence)}.`;
    const names = [...new Set([...Object.keys(entry.prediction.probabilities), chosen])].filter((name) => name !== "silence");
    emotion.replaceChildren(...names.map((name) => make("option", { value: name }, name)), make("option", { value: "silence" }, "no speech"));
    emotion.value = chosen;
    speaker.value = who;
  }

  const element = make("div", "corrections", make("h3", "", "Correct labels"),
    make("p", "note", "Choose a segment, or begin with the one whose two best emotions are closest. Corrections stay in this browser until you clear them."),
    make("div", "buttons", next), form, said, files, adapting.element);
  return {
    element,
    async show(shown) {
      [entry, segment] = [shown, null];
      adapting.show();
      element.hidden = !open().length || shown.partial;
      show();
      if (shown.partial || shown.corrections) return;
      await restore(shown);
      if (entry === shown && shown.corrections.size) page.update();
    },
    update(shown) {
      if (shown !== entry || (!shown.partial && !shown.corrections)) this.show(shown);
      else show();
    },
    choose(chosen) {
      segment = chosen && isSpeech(chosen) ? chosen : null;
      show();
    },
  };
}

/** Find what was kept of a recording earlier. */
async function restore(entry) {
  entry.corrections = new Map();
  try {
    const { file } = entry, edge = LARGE / 2; // more would not fit into memory
    const told = file.size <= LARGE ? file : new Blob([file.slice(0, edge), file.slice(-edge), String(file.size)]);
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await told.arrayBuffer()));
    const name = [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    entry.key = `${PREFIX}${name}:${entry.prediction.channel ?? ""}`;
    const kept = JSON.parse(localStorage.getItem(entry.key) ?? "[]");
    if (!kept.length && !entry.corrections.size) return;
    entry.corrections = new Map([...kept.map((row) => [`${row.start}-${row.end}`, row]), ...entry.corrections]);
    store(entry);
  } catch {
    entry.unkept = true; // no storage, or no hash on an insecure page
  }
}

function store({ key, corrections }) {
  if (!key) return; // it is not known yet, or never
  if (corrections.size) localStorage.setItem(key, JSON.stringify([...corrections.values()]));
  else localStorage.removeItem(key);
}

/** By how much the best emotion leads; corrections in this order teach more than by confidence (results/corrections.json). */
function margin({ probabilities }) {
  const [best, next = 0] = Object.values(probabilities).sort((a, b) => b - a);
  return best - next;
}
