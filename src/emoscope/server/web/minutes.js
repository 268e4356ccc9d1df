// Panel: a long recording minute by minute; each shows when which emotion was heard, and what most.

import { lanesOf } from "./lanes.js";
import { clock, coloured, ending, isSpeech, label, make, percent, shares } from "./parts.js";

const LONG = 120; // seconds; a shorter recording needs no minutes
const STRIPE = 0.6; // percent of a minute

export function minutesPanel(page) {
  const list = make("ol", { id: "minutes", class: "minutes more" });
  const title = make("h3");
  const element = make("div", "by-minute", title, make("p", "note", "Choose a minute to hear and to see it."), list);
  let rows = [];

  function row(lanes, from) {
    const strips = lanes.map(({ entry, segments }) => {
      const strip = make("span", { class: "strip", "aria-hidden": "true" });
      strip.style.backgroundImage = gradient(entry, segments, from);
      return strip;
    });
    const most = shares(lanes[0].entry, lanes.flatMap(({ segments }) => segments), from, from + 60);
    const speech = most.reduce((sum, [, seconds]) => sum + seconds, 0);
    const said = most.slice(0, 2).map(([emotion, seconds]) =>
      make("span", "", coloured(make("span", "dot"), emotion), `${emotion} ${percent(seconds / speech)} `));
    return make("button", { type: "button", click: () => page.view(from) },
      make("span", "when", clock(from)), make("span", "strips", ...strips),
      make("span", "most", ...(speech ? said : ["no speech"])));
  }

  function show(entry) {
    const lanes = lanesOf(entry, page.entries);
    const duration = Math.max(...lanes.map(({ segments }) => ending(segments)));
    element.hidden = duration <= LONG;
    const count = element.hidden ? 0 : Math.ceil(duration / 60);
    title.textContent = `Minutes: ${count}`;
    const place = list.scrollTop;
    rows = Array.from({ length: count }, (_, minute) => row(lanes, 60 * minute));
    list.replaceChildren(...rows.map((button) => make("li", "", button)));
    list.scrollTop = place;
  }

  return {
    element,
    show,
    update: show,
    at(time) {
      rows.forEach((button, minute) => {
        const here = String(minute === Math.floor(time / 60));
        if (button.getAttribute("aria-current") !== here) button.setAttribute("aria-current", here);
      });
    },
  };
}

/** One minute from left to right in the colours of its emotions, striped where not sure, without silence. */
function gradient(entry, segments, from) {
  const stops = segments.filter((s) => isSpeech(s) && s.end > from && s.start < from + 60).flatMap((segment) => {
    const [left, right] = [segment.start, segment.end].map((time) => (100 * Math.max(0, Math.min(60, time - from))) / 60);
    const colour = `var(--${CSS.escape(label(entry, segment).emotion)}, var(--soft))`;
    const stripes = [`transparent 0 ${left.toFixed(2)}%`];
    const width = segment.uncertain ? STRIPE : right - left;
    for (let at = left; at < right; at += 2 * width)
      stripes.push(`${colour} 0 ${Math.min(right, at + width).toFixed(2)}%`, `transparent 0 ${Math.min(right, at + 2 * width).toFixed(2)}%`);
    return stripes;
  });
  return stops.length ? `linear-gradient(90deg, ${stops.join(", ")}, transparent 0)` : "";
}
