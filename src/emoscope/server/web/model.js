// What a model says about itself.

import { make, percent, sentenceCase } from "./parts.js";

export function modelCard(model) {
  const card = make("div", "card");
  const { threshold, coverage } = model.uncertain;
  const corpora = model.training.corpora ?? [];
  const facts = {
    Name: [model.title || model.name, model.bytes && `${(model.bytes / 1e6).toFixed(1)} MB`].filter(Boolean).join(", "),
    Emotions: model.emotions.join(", "),
    "Trained on": corpora.map((c) => `${c.name} (${c.speakers.length} speakers, ${c.licence})`).join("; "),
    Uncertain: coverage ? `Labels below ${percent(threshold)} confidence, without speech, or far from the training data. `
      + `Of the clips tested, ${percent(coverage)} were not marked uncertain: ${model.worth}.` : `${sentenceCase(model.worth)}.`,
    "Optimistic figures": model.optimistic,
    Licence: model.licence,
    "Commercial use": sentenceCase(model.about.commercial_use),
  };
  const list = make("dl");
  for (const [name, text] of Object.entries(facts)) {
    if (text) list.append(make("dt", "", name), make("dd", "", text));
  }
  card.append(list);
  if (model.results.length) card.append(results(model));
  if (model.notices.length) {
    card.append(make("details", "", make("summary", "", "Notices and citations"),
      ...model.notices.map((text) => make("p", "note", text))));
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

function results({ results: rows, measured_on: measuredOn }) {
  const columns = COLUMNS.filter(([, text]) => rows.some((row) => text(row) !== undefined));
  const kind = (place) => (place < 2 ? "" : "number");
  const line = (cell) => make("tr", "", ...columns.map(cell));
  const head = line(([name], place) => make("th", { class: kind(place), scope: "col" }, name));
  const body = rows.map((row) => line(([, text], place) => make("td", kind(place), text(row) ?? "")));
  const caption = `Measured on ${measuredOn}; 95 % interval over speakers`;
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Measured results" },
    make("table", "", make("caption", "", caption), make("thead", "", head), make("tbody", "", ...body)));
}
