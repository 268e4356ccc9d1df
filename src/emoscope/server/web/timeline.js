// Panel: the segments as a list; each plays and shows its probabilities.

import { clock, coloured, isSpeech, label, make, percent } from "./parts.js";

const PAGE = 200; // segments in the list at once

export function timelinePanel(page) {
  const list = make("ol", { id: "segments", class: "segments more" });
  const count = make("p", { id: "count", class: "note" });
  const turn = (text, step) => make("button", { class: "link", type: "button", click: () => fill(first + step) }, text);
  const [earlier, later] = [turn("Earlier segments", -PAGE), turn("Later segments", PAGE)];
  let entry = null, first = 0, rows = [], shown = [], several = false; // speakers

  function row(segment) {
    const { emotion, speaker, corrected } = label(entry, segment);
    const sure = segment.uncertain ? `not sure, ${percent(segment.confidence)}` : percent(segment.confidence);
    const said = corrected === undefined ? sure : corrected ? `corrected; was ${segment.emotion}` : "confirmed";
    return make("button", { class: isSpeech(segment) ? "" : "quiet", type: "button", click: () => page.choose(segment) },
      coloured(make("span", "dot"), emotion),
      make("span", "when", `${clock(segment.start, 1)} – ${clock(segment.end, 1)}`),
      make("span", "", emotion),
      make("span", "sure", isSpeech(segment) ? said : ""),
      make("span", "who", several && isSpeech(segment) ? speaker ?? "" : ""));
  }

  /** Fill the list from one segment on. */
  function fill(from) {
    const { segments } = entry.prediction;
    first = Math.max(0, Math.min(from, segments.length - 1));
    several = new Set(segments.filter(isSpeech).map((segment) => label(entry, segment).speaker)).size > 1;
    shown = segments.slice(first, first + PAGE);
    const last = first + shown.length;
    rows = shown.map(row);
    list.replaceChildren(...rows.map((button) => make("li", "", button)));
    count.textContent = shown.length < segments.length ? `Segments ${first + 1} to ${last} of ${segments.length}`
      : `${last} segment${last === 1 ? "" : "s"}`;
    earlier.hidden = first === 0;
    later.hidden = last === segments.length;
  }

  const panel = {
    element: make("div", "timeline", make("h3", "", "Timeline"), earlier, list, count, later),
    show(given) {
      entry = given;
      fill(0);
      panel.at(0);
    },
    update(given) {
      entry = given;
      const place = list.scrollTop;
      fill(first);
      list.scrollTop = place;
    },
    view(start) {
      const wanted = entry.prediction.segments.findIndex(({ end }) => end > start);
      if (wanted < first || wanted >= first + rows.length) fill(wanted);
      list.scrollTop = rows[wanted - first]?.offsetTop ?? 0; // in the list, which is positioned
    },
    choose(segment) {
      const row = rows[shown.indexOf(segment)], { scrollTop, clientHeight } = list;
      const isSeen = row?.offsetTop >= scrollTop && row.offsetTop + row.offsetHeight <= scrollTop + clientHeight;
      if (segment && !isSeen) panel.view(segment.start);
    },
    at(time) {
      rows.forEach((button, n) => {
        const { start, end } = shown[n]; // the entry may hold others by now
        const here = String(time >= start && time < end);
        if (button.getAttribute("aria-current") !== here) button.setAttribute("aria-current", here);
      });
    },
  };
  return panel;
}
