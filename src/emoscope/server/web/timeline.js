// Panel: the segments as a list; each plays and shows its probabilities.

import { clock, coloured, isSpeech, make, percent } from "./parts.js";

export function timelinePanel(page) {
  const list = make("ol", { id: "segments", class: "segments" });
  let segments = [], rows = [];

  function row(segment) {
    return make("button", { class: isSpeech(segment) ? "" : "quiet", type: "button", click: () => page.choose(segment) },
      coloured(make("span", "dot"), segment.emotion),
      make("span", "when", `${clock(segment.start, 1)} – ${clock(segment.end, 1)}`),
      make("span", "", segment.emotion),
      make("span", "sure", isSpeech(segment) ? percent(segment.confidence) : ""));
  }

  return {
    element: make("div", "timeline", make("h3", "", "Timeline"), list),
    show(entry) {
      segments = entry.prediction.segments;
      rows = segments.map(row);
      list.replaceChildren(...rows.map((button) => make("li", "", button)));
      this.at(0);
    },
    at(time) {
      segments.forEach((segment, n) => {
        const here = String(time >= segment.start && time < segment.end);
        if (rows[n].getAttribute("aria-current") !== here) rows[n].setAttribute("aria-current", here);
      });
    },
  };
}
