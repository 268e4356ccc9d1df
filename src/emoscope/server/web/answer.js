// Panel: the emotion, or that there is none, more than one, or no certain one; how sure it is, arousal and
// valence, what speaks against it, and the probabilities.

import { clock, coloured, isSilent, isSpeech, make, percent, sentenceCase, shares, verdict as verdictOf } from "./parts.js";

const CLEAR = 0.2; // shown as nearer to 0, an axis has neither of its two words; as in a table of `predict`
const AXES = {
  arousal: ["subdued", "even", "agitated"],
  valence: ["unpleasant", "neither pleasant nor unpleasant", "pleasant"],
};

export function answerPanel(page) {
  const verdict = make("p", { id: "verdict", class: "verdict" });
  const certainty = make("p", { id: "certainty", class: "certainty" });
  const position = make("div", { id: "position", class: "position" });
  const warnings = make("ul", { id: "warnings", class: "warnings" });
  const title = make("h3", { id: "bars-title" });
  const list = make("dl", { id: "bars", class: "bars" });
  const whole = make("button", { id: "whole", class: "link", type: "button", click: () => page.choose(null) },
    "Back to the whole recording");
  const about = make("p", { id: "about", class: "note" });
  const doubt = make("p", { id: "doubt", class: "note" }); // of a segment
  let entry = null, prediction = null;

  function showWhole() {
    const said = verdictOf(prediction), sounds = said === "not sure" && inWords(prediction);
    const headline = { "no speech": "No speech", mixed: "Mixed", "not sure": sounds ? `Not sure; sounds ${sounds}` : "Not sure" }[said];
    verdict.classList.toggle("unsure", Boolean(sounds));
    verdict.replaceChildren(...(headline ? [headline] : [coloured(make("span", "dot"), said), said]));
    position.replaceChildren(...axes(prediction, "Arousal and valence"));
    if (sounds) certainty.before(position);
    else certainty.after(position);
    certainty.replaceChildren(...sentence(prediction, page.models.at(0)));
    warnings.replaceChildren(...prediction.warnings.map((warning) => {
      const [keyword, ...rest] = warning.split(": ");
      return make("li", "", make("strong", "", sentenceCase(keyword)), `: ${rest.join(": ")}.`);
    }));
    const speech = said === "mixed" ? shares({}, prediction.segments) : [];
    const total = speech.reduce((sum, [, seconds]) => sum + seconds, 0);
    const mixed = Object.fromEntries(speech.map(([emotion, seconds]) => [emotion, seconds / total]));
    title.textContent = { mixed: "Share of the speech", "no speech": "" }[said] ?? "Probabilities";
    list.replaceChildren(...(said === "no speech" ? [] : bars(speech.length ? mixed : prediction.probabilities)));
    doubt.textContent = "";
    whole.hidden = true;
  }

  const show = (shown) => {
    entry = shown;
    prediction = entry.prediction;
    const { model, licence, commercial_use: commercial, meaning } = prediction.about;
    about.textContent = `${meaning} Model: ${model}. Licence: ${licence}. Commercial use: ${commercial}.`;
    showWhole();
  };
  return {
    element: make("div", "answer", make("div", "", verdict, certainty, position, warnings), make("div", "", title, list, doubt, whole), about),
    show,
    update: (shown) => (shown !== entry || shown.prediction !== prediction) && show(shown),
    choose(segment) {
      if (!segment) return showWhole();
      const span = `${clock(segment.start, 1)} to ${clock(segment.end, 1)}`, speech = isSpeech(segment);
      title.textContent = `${speech ? "Probabilities" : "No speech"}, ${span}`;
      position.replaceChildren(...(speech ? axes(segment, `Arousal and valence, ${span}`) : []));
      list.replaceChildren(...bars(segment.probabilities));
      doubt.textContent = [segment.uncertain ? "The label of this segment is not sure" : "", ...segment.warnings ?? []].filter(Boolean).join("; ");
      whole.hidden = false;
    },
  };
}

/** What a recording sounds like; nothing where nobody speaks, or where the model cannot say. */
function inWords(prediction) {
  if (prediction.arousal === undefined || isSilent(prediction)) return "";
  return Object.entries(AXES).map(([axis, [low, middle, high]]) => {
    const value = Number(prediction[axis].toFixed(1));
    return Math.abs(value) < CLEAR ? middle : value < 0 ? low : high;
  }).join(", ");
}

/** A bar from the middle for each of two numbers between -1 and 1. */
function axes(part, heading) {
  if (part.arousal === undefined || isSilent(part)) return [];
  const rows = Object.entries(AXES).flatMap(([axis, [low, , high]]) => {
    const value = part[axis], bar = make("i");
    bar.style.left = `${50 + 50 * Math.min(0, value)}%`;
    bar.style.width = `${50 * Math.abs(value)}%`;
    return [
      make("dt", "", sentenceCase(axis)),
      make("dd", { "aria-hidden": "true" }, make("div", "track", bar), make("div", "ends", make("span", "", low), make("span", "", high))),
      make("dd", "number", signed(value)),
    ];
  });
  return [make("h3", "", heading), make("dl", "bars axes", ...rows), make("p", "note", "Derived from the probabilities of acted emotions.")];
}

function signed(value) {
  const digits = Math.abs(value).toFixed(1);
  return `${value < 0 && digits !== "0.0" ? "−" : "+"}${digits}`;
}

const ranked = (probabilities) => Object.entries(probabilities).sort((a, b) => b[1] - a[1]);

function sentence(prediction, model) {
  const [[, best], [second, next] = []] = ranked(prediction.probabilities);
  const guess = `perhaps ${prediction.emotion}, ${percent(best)}.`;
  if (isSilent(prediction)) return [make("strong", "", "Nobody is heard to speak."), " So no emotion is shown."];
  if (verdictOf(prediction) === "mixed") {
    return [make("strong", "", "The emotion changes."), ` One label for all of it says little: ${guess}`];
  }
  if (prediction.uncertain) {
    const { threshold, coverage } = model?.uncertain ?? { coverage: 1 };
    const low = best < threshold ? ` Labels below ${percent(threshold)} are marked uncertain.` : "";
    const rule = coverage ? low : ` ${sentenceCase(model.worth)}.`;
    return [
      make("strong", "", sentenceCase(guess)),
      ` This is the best guess, followed by ${second} (${percent(next)}); do not rely on it.${rule}`,
    ];
  }
  const parts = [make("strong", "", `${percent(best)} sure.`)];
  if (next >= 0.1) parts.push(` It could also be ${second} (${percent(next)}).`);
  if (model) parts.push(` ${sentenceCase(model.worth)}.`);
  return parts;
}

/** A bar for each emotion, most probable first. */
function bars(probabilities) {
  return ranked(probabilities).flatMap(([emotion, value], place) => {
    const bar = make("i");
    bar.style.width = `${100 * value}%`;
    return [
      make("dt", place ? "" : "best", emotion),
      coloured(make("dd", { class: "track", "aria-hidden": "true" }, bar), emotion),
      make("dd", "number", percent(value)),
    ];
  });
}
