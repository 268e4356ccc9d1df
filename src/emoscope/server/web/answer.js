// Panel: the emotion, how sure it is, what speaks against it, and the probabilities.

import { clock, coloured, isSpeech, make, percent } from "./parts.js";

export function answerPanel(page) {
  const verdict = make("p", { id: "verdict", class: "verdict" });
  const certainty = make("p", { id: "certainty", class: "certainty" });
  const warnings = make("ul", { id: "warnings", class: "warnings" });
  const title = make("h3", { id: "bars-title" });
  const list = make("dl", { id: "bars", class: "bars" });
  const whole = make("button", { id: "whole", class: "link", type: "button", click: () => page.choose(null) },
    "Show the whole recording");
  let prediction = null;

  function showWhole() {
    const { emotion } = prediction;
    verdict.replaceChildren(coloured(make("span", "dot"), emotion), emotion);
    certainty.replaceChildren(...sentence(prediction, page.models.at(0)));
    warnings.replaceChildren(...prediction.warnings.map((warning) => {
      const [keyword, ...rest] = warning.split(": ");
      const capital = keyword.charAt(0).toUpperCase() + keyword.slice(1);
      return make("li", "", make("strong", "", capital), `: ${rest.join(": ")}.`);
    }));
    title.textContent = "Probabilities";
    whole.hidden = true;
    list.replaceChildren(...bars(prediction.probabilities));
  }

  return {
    element: make("div", "answer", make("div", "", verdict, certainty, warnings), make("div", "", title, list, whole)),
    show(entry) {
      prediction = entry.prediction;
      showWhole();
    },
    choose(segment) {
      if (!segment) showWhole();
      else if (isSpeech(segment)) {
        title.textContent = `Probabilities, ${clock(segment.start, 1)} to ${clock(segment.end, 1)}`;
        list.replaceChildren(...bars(segment.probabilities));
        whole.hidden = false;
      }
    },
  };
}

const ranked = (probabilities) => Object.entries(probabilities).sort((a, b) => b[1] - a[1]);

function sentence(prediction, model) {
  const [[, best], [second, next]] = ranked(prediction.probabilities);
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
    parts.push(` Of all labels not called uncertain, ${right} in 100 were right on ${model.measured_on}.`);
  }
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
