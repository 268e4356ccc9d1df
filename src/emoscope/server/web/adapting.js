// A button that adapts the server's model to the corrections on the page, and what came of it.

import { make, save, sentenceCase } from "./parts.js";
import { csv, rowsOf } from "./rows.js";
import { Work } from "./work.js";

const NAME = "adapted.emoscope";
const UNSERVED = "No server runs this page, so it cannot adapt the model. With emoscope installed, save the CSV beside the "
  + "recordings and run:";
const COMMAND = "emoscope train default corrections.csv --from-corrections --out adapted.emoscope";

/** @param checked gives the recordings of the page that have corrections */
export function adaptation(page, checked) {
  const parts = {
    status: make("p", { class: "status", role: "status" }),
    work: make("div", { class: "work", hidden: "" }),
    bar: make("progress", { max: 1, "aria-label": "Progress of the adaptation" }),
    amount: make("span", "note"),
    cancel: make("button", { class: "button", type: "button" }, "Cancel"),
    main: make("div", { id: "adapted", class: "adapted", tabindex: -1 }),
  };
  parts.work.append(parts.bar, parts.amount, parts.cancel);
  const work = new Work((id) => parts[id]), { main: result } = parts;
  const button = make("button", { id: "adapt", class: "button", type: "button", click: () => adapt() }, "Adapt the model");

  async function adapt() {
    if (work.busy) return;
    result.replaceChildren();
    button.disabled = true;
    try {
      const found = await work.run(async (signal) => {
        const entries = await checked(), names = namesOf(entries), rows = rowsOf(entries, (file) => names.get(file));
        work.say(`Adapting the model to ${rows.length} label${rows.length === 1 ? "" : "s"} …`);
        const progress = (fraction) => (fraction < 1 ? work.progress(fraction) : work.progress(null)); // it fits the model
        const files = [...names].map(([file, name]) => [name, file]);
        return page.engine.adapt(files, new Blob([csv(rows)], { type: "text/csv" }), { progress, signal });
      });
      result.replaceChildren(...gain(found));
    } catch (error) {
      const said = error.name === "AbortError" ? "Cancelled. The model is as it was." : `${sentenceCase(error.message)}.`;
      result.replaceChildren(make("p", { class: "problem", role: "alert" }, said));
    }
    button.disabled = false;
    result.focus();
  }

  const element = make("div", "adapting", make("h3", "", "Teach the model"));
  /** What an engine can do is known once there is a recording. */
  function show() {
    if (element.children.length > 1) return;
    element.append(...(page.engine.adapt ? [
      make("p", "note", "From ten checked segments on, the model can learn from them. Give one person the same name in all recordings."),
      make("div", "buttons", button), parts.status, parts.work, result,
    ] : [make("p", "note", UNSERVED), make("pre", { tabindex: 0 }, make("code", "", COMMAND))]));
  }

  return { element, show };
}

/** What adapting gained, and the new model to save. */
function gain({ card, errors, file }) {
  const { uar, uar_low: low, uar_high: high, uar_before: before, n_clips: count } = card.results[0];
  const range = low === undefined ? "" : ` (${low.toFixed(3)} – ${high.toFixed(3)})`;
  const content = Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0));
  const said = [card.uncertain.coverage ? `Labels not marked uncertain: ${card.worth}.` : `${sentenceCase(card.worth)}.`, card.optimistic && `${sentenceCase(card.optimistic)}.`, ...errors.map(sentenceCase)];
  return [
    make("p", "", make("strong", "", `UAR ${before.toFixed(3)} before, ${uar.toFixed(3)}${range} after`),
      `, measured on ${card.measured_on}: ${count} segments. UAR is the mean of the recalls of all emotions${range ? "; in brackets, its 95\u00a0% interval over speakers" : ""}.`),
    ...said.filter(Boolean).map((text) => make("p", "note", text)),
    make("div", "buttons", make("button", { id: "save-adapted", class: "button main", type: "button",
      click: () => save(new Blob([content], { type: "application/octet-stream" }), NAME) }, `Save ${NAME} (${(content.length / 1e6).toFixed(1)}\u00a0MB)`)),
    make("p", "note", "This page goes on with its own model. To use the new one: ",
      make("code", "", `emoscope predict RECORDING --model ${NAME}`), " or ", make("code", "", `emoscope serve --model ${NAME}`)),
  ];
}

/** Recordings by names that a form can send, each of its own. */
function namesOf(entries) {
  const names = new Map();
  for (const file of new Set(entries.map((entry) => entry.file))) {
    let name = file.name.replace(/["/\\\p{Cc}]/gu, "_").slice(-80);
    while ([...names.values()].includes(name)) name = `_${name}`;
    names.set(file, name);
  }
  return names;
}
