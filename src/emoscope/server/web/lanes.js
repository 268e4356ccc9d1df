// Lanes: one for each speaker of a recording, or for each channel of a call, drawn under its sound.

import { isSpeech, label, rgb, shares } from "./parts.js";

const MARGIN = 7, NAME = 18, BAR = 26, BELOW = 19; // CSS pixels: the lane's name, its bars, names below them
const COLUMN = 7; // CSS pixels
const FONT = "13px system-ui, sans-serif";

/** The lanes of a recording: `{ name, entry, segments }`. */
export function lanesOf(entry, entries) {
  const calls = entries.filter(({ file, prediction }) => file === entry.file && prediction.channel);
  if (calls.length > 1) {
    return calls.map((each) => ({
      name: `${each.prediction.channel}${each === entry ? " (shown)" : ""}`, entry: each, segments: each.prediction.segments,
    }));
  }
  const { segments } = entry.prediction;
  const speakers = [...new Set(segments.filter(isSpeech).map((segment) => segment.speaker ?? ""))].sort();
  if (speakers.length < 2) return [{ name: "", entry, segments }];
  return speakers.map((name) => ({
    name: name || "speaker unknown", entry, segments: segments.filter((s) => isSpeech(s) && (s.speaker ?? "") === name),
  }));
}

export const heightOf = ({ name }) => MARGIN + (name ? NAME : 0) + BAR + BELOW;

/** Whether segments are too short to be drawn one by one at this scale. */
export function isDense(lanes, { start, end, width }) {
  const count = ({ segments }) => segments.filter((s) => s.end > start && s.start < end).length;
  return Math.max(...lanes.map(count)) > width / 5;
}

/**
 * Draw a lane; `view` has `start`, `end` (seconds), `width`, `x` (of a time) and `colour` (of a name).
 * A dense one as columns with the seconds of each emotion, the fullest at full height; any other with its segments.
 */
export function drawLane(pen, lane, top, view, chosen, dense) {
  pen.textBaseline = "middle";
  top += MARGIN;
  if (lane.name) {
    pen.font = `650 ${FONT}`;
    pen.fillStyle = view.colour("soft");
    pen.fillText(lane.name, 8, top + NAME / 2 - 3);
    top += NAME;
  }
  if (dense) drawColumns(pen, lane, top, view);
  else drawSegments(pen, lane, top, view, chosen);
}

function drawColumns(pen, { entry, segments }, top, view) {
  const height = BAR + BELOW - MARGIN, seconds = (COLUMN * (view.end - view.start)) / view.width;
  const order = Object.keys(entry.prediction.probabilities);
  const columns = Array.from({ length: Math.ceil(view.width / COLUMN) }, (_, n) => (
    shares(entry, segments, view.start + n * seconds, view.start + (n + 1) * seconds)));
  const fullest = Math.max(...columns.map((column) => column.reduce((sum, [, length]) => sum + length, 0)));
  for (const [n, column] of columns.entries()) {
    const left = n * COLUMN;
    let bottom = top + height;
    for (const [emotion, length] of column.sort((a, b) => order.indexOf(a[0]) - order.indexOf(b[0]))) {
      const size = (height * length) / fullest;
      pen.fillStyle = view.colour(emotion) || view.colour("soft");
      pen.fillRect(left, bottom - size, COLUMN - 1, size);
      bottom -= size;
    }
  }
}

function drawSegments(pen, { entry, segments }, top, view, chosen) {
  pen.font = `600 ${FONT}`;
  const shown = segments.filter((segment) => segment.end > view.start && segment.start < view.end).map((segment) => {
    const [left, right] = [view.x(segment.start), view.x(segment.end)];
    const speech = isSpeech(segment), { emotion, corrected } = label(entry, segment);
    const colour = speech ? view.colour(emotion) || view.colour("soft") : view.colour("line");
    const text = corrected === undefined ? emotion : `✓ ${emotion}`;
    const visible = [Math.max(left, 0), Math.min(right, view.width)];
    return { segment, left, right, speech, emotion, colour, text, visible, size: pen.measureText(text).width };
  });
  for (const { segment, left, right, speech, emotion, colour } of shown) {
    const box = [left + 1, top, Math.max(1, right - left - 2), BAR];
    pen.beginPath();
    pen.roundRect(...box, Math.min(7, box[2] / 2));
    pen.fillStyle = colour;
    if (speech || emotion === "non-speech") pen.fill();
    if (speech && segment.uncertain) hatch(pen, ...box, view.colour("card"));
    if (segment === chosen) {
      pen.beginPath();
      pen.roundRect(...box, Math.min(7, box[2] / 2));
      pen.lineWidth = 2.5;
      pen.strokeStyle = view.colour("text");
      pen.stroke();
    }
  }
  drawNames(pen, shown, top, view);
}

/** Names inside their bars, or, of emotions alone, below them where there is room: longest segments first. */
function drawNames(pen, shown, top, view) {
  const taken = [];
  for (const { segment, speech, colour, text, visible: [from, until], size } of shown.sort((a, b) => length(b) - length(a))) {
    if (size + 14 < until - from) {
      const filled = speech && !segment.uncertain;
      if (speech && segment.uncertain) {
        pen.fillStyle = view.colour("card");
        pen.fillRect(from + 5, top + 4, size + 8, BAR - 8);
      }
      pen.fillStyle = filled ? contrasting(colour) : view.colour(speech ? "text" : "soft");
      pen.fillText(text, from + 9, top + BAR / 2 + 1);
    } else if (speech) {
      const middle = (from + until) / 2, left = Math.max(0, Math.min(middle - size / 2, view.width - size));
      if (taken.some(([first, last]) => left < last + 6 && left + size > first - 6)) continue;
      taken.push([left, left + size]);
      pen.fillStyle = view.colour("text");
      pen.fillText(text, left, top + BAR + BELOW / 2 + 1);
    }
  }
}

const length = ({ visible: [from, until] }) => until - from;

/** Stripes over a bar: its label is not sure. */
function hatch(pen, left, top, width, height, colour) {
  pen.save();
  pen.clip();
  pen.beginPath();
  for (let x = left - height; x < left + width; x += 6) {
    pen.moveTo(x, top + height);
    pen.lineTo(x + height, top);
  }
  pen.lineWidth = 2;
  pen.strokeStyle = colour;
  pen.stroke();
  pen.restore();
}

/** Black or white, whichever is easier to read on a colour (WCAG relative luminance). */
function contrasting(colour) {
  const [r, g, b] = rgb(colour).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}
