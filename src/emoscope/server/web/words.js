// What the model says, in words and bars. Everything is set as text: no name can become markup.

import { clock } from "./player.js";

const percent = (value) => `${Math.round(100 * value)} %`;

function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function coloured(made, emotion) {
  made.style.setProperty("--colour", `var(--${emotion}, var(--soft))`);
  return made;
}

/** The emotion, how sure it is and what speaks against it. */
export function answer(prediction, model, { verdict, certainty, warnings }) {
  const ranked = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]);
  verdict.replaceChildren(coloured(make("span", "dot"), prediction.emotion), prediction.emotion);
  certainty.replaceChildren(...sentence(prediction, ranked, model));
  warnings.replaceChildren(...prediction.warnings.map((warning) => {
    const [keyword, ...rest] = warning.split(": ");
    const item = make("li");
    item.append(make("strong", "", capital(keyword)), `: ${rest.join(": ")}.`);
    return item;
  }));
}

function sentence(prediction, ranked, model) {
  const [[, best], [second, next]] = ranked;
  if (prediction.uncertain) {
    const low = model && best < model.uncertain.threshold;
    const rule = low ? ` Labels below ${percent(model.uncertain.threshold)} are called uncertain.` : "";
    return [
      make("strong", "", `Uncertain: ${percent(best)}.`),
      ` This is the best guess, ${second} (${percent(next)}) the next; do not rely on it.${rule}`,
    ];
  }
  const parts = [make("strong", "", `${percent(best)} sure.`)];
  if (next >= 0.1) parts.push(` It could also be ${second} (${percent(next)}).`);
  if (model) {
    const right = Math.round(100 * (1 - model.uncertain.risk));
    parts.push(` Of all labels not called uncertain, ${right} in 100 were right for speakers it had never heard.`);
  }
  return parts;
}

/** A bar for each emotion, most probable first. */
export function bars(list, probabilities) {
  const ranked = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
  list.replaceChildren(...ranked.flatMap(([emotion, value], place) => {
    const track = coloured(make("dd", "track"), emotion);
    track.setAttribute("aria-hidden", "true");
    const bar = make("i");
    bar.style.width = `${100 * value}%`;
    track.append(bar);
    return [make("dt", place ? "" : "best", emotion), track, make("dd", "number", percent(value))];
  }));
}

/** One button for each segment: it plays it and shows its probabilities. */
export function segmentRows(segments, choose) {
  return segments.map((segment) => {
    const speech = Object.keys(segment.probabilities).length > 0;
    const button = make("button", speech ? "" : "quiet");
    button.type = "button";
    button.append(
      coloured(make("span", "dot"), segment.emotion),
      make("span", "when", `${clock(segment.start, 1)} – ${clock(segment.end, 1)}`),
      make("span", "", segment.emotion),
      make("span", "sure", speech ? percent(segment.confidence) : ""),
    );
    button.addEventListener("click", () => choose(segment));
    const item = make("li");
    item.append(button);
    return item;
  });
}

/** What a model says about itself. */
export function modelCard(model) {
  const card = make("div", "card");
  const { threshold, coverage, risk } = model.uncertain;
  const corpora = model.training.corpora ?? [];
  const facts = {
    Name: [model.title || model.name, model.bytes && `${(model.bytes / 1e6).toFixed(1)} MB`].filter(Boolean).join(", "),
    Emotions: model.emotions.join(", "),
    "Trained on": corpora.map((c) => `${c.name} (${c.speakers.length} speakers, ${c.licence})`).join("; "),
    Uncertain: `Labels below ${percent(threshold)} confidence. The others were ${percent(coverage)} of the `
      + `clips of unheard speakers, and ${percent(risk)} of them were wrong all the same.`,
    Licence: model.licence,
  };
  const list = make("dl");
  for (const [name, text] of Object.entries(facts)) {
    if (text) list.append(make("dt", "", name), make("dd", "", text));
  }
  card.append(list);
  if (model.results.length) card.append(results(model.results));
  if (model.notices.length) {
    const notices = make("details");
    notices.append(make("summary", "", "Notices and citations"), ...model.notices.map((text) => make("p", "note", text)));
    card.append(notices);
  }
  return card;
}

const COLUMNS = [
  ["Corpus", (row) => row.corpus],
  ["Protocol", (row) => row.protocol],
  ["UAR", (row) => interval(row)],
  ["Accuracy", (row) => row.accuracy?.toFixed(3)],
  ["Clips", (row) => row.n_clips],
  ["Speakers", (row) => row.n_speakers],
];

function interval({ uar, uar_low: low, uar_high: high }) {
  const range = low && high ? ` (${low.toFixed(3)} – ${high.toFixed(3)})` : "";
  return uar === undefined ? undefined : uar.toFixed(3) + range;
}

function results(rows) {
  const table = make("table"), head = make("tr"), body = make("tbody");
  table.append(make("caption", "", "Measured on speakers that the model had not heard; 95 % interval over speakers"));
  const columns = COLUMNS.filter(([, text]) => rows.some((row) => text(row) !== undefined));
  const kind = (place) => (place < 2 ? "" : "number");
  columns.forEach(([name], place) => {
    const cell = make("th", kind(place), name);
    cell.scope = "col";
    head.append(cell);
  });
  for (const row of rows) {
    const line = make("tr");
    columns.forEach(([, text], place) => line.append(make("td", kind(place), text(row) ?? "")));
    body.append(line);
  }
  const top = make("thead");
  top.append(head);
  table.append(top, body);
  const frame = make("div", "scroll");
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", "Measured results");
  frame.append(table);
  return frame;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
