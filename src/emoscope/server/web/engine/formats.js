// A prediction as text that other programs read: emoscope.prediction.formats. `about` says what a label means.

import { round } from "./numbers.js";

const isSpeech = ({ probabilities }) => Object.keys(probabilities).length > 0;
const audible = ({ segments }) => segments.filter(({ emotion }) => emotion !== "silence");
const caption = (part) => part.emotion + (isSpeech(part) ? ` ${round(100 * part.confidence, 0)}%` : "");
const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
const escaped = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** A number as Python writes it. */
function number(value) {
  if (Number.isInteger(value)) return value.toFixed(1);
  return Math.abs(value) < 1e-4 ? value.toExponential().replace(/e-(\d)$/, "e-0$1") : String(value);
}

function csv(prediction) {
  const { segments, about, warnings } = prediction, emotions = Object.keys(prediction.probabilities);
  const axes = ["arousal", "valence"].filter((axis) => axis in prediction), timed = segments.length > 0;
  const head = ["file", ...(timed ? ["start", "end"] : []), "emotion", "confidence", ...emotions.map((name) => `p_${name}`)];
  const rows = (timed ? segments : [prediction]).map((part) => [
    prediction.file, ...(timed ? [part.start, part.end] : []), part.emotion, part.confidence,
    ...emotions.map((name) => part.probabilities[name] ?? ""), String(part.uncertain ?? prediction.uncertain),
    (part.warnings ?? warnings).join("; "), about.model, ...axes.map((axis) => part[axis] ?? ""),
    about.licence, about.commercial_use, about.meaning,
  ]);
  const last = ["uncertain", "warnings", "model", ...axes, "licence", "commercial_use", "meaning"];
  const cell = (value) => {
    const text = typeof value === "number" ? number(value) : value;
    return /[",\r\n]/.test(text) ? quoted(text) : text;
  };
  return [[...head, ...last], ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
}

function textgrid(prediction, about) {
  const { segments } = prediction, end = (segments.at(-1)?.end ?? 0).toFixed(6);
  const tiers = { emotion: (part) => part.emotion, confidence: (part) => (isSpeech(part) ? part.confidence.toFixed(3) : "") };
  const span = (indent, from, until) => [`${indent}xmin = ${from}`, `${indent}xmax = ${until}`], inner = " ".repeat(8);
  const lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", ...span("", 0, end), "tiers? <exists>", "size = 3", "item []:"];
  Object.entries(tiers).forEach(([name, text], n) => {
    lines.push(`    item [${n + 1}]:`, `${inner}class = "IntervalTier"`, `${inner}name = "${name}"`, ...span(inner, 0, end),
      `${inner}intervals: size = ${segments.length}`);
    segments.forEach((part, place) => lines.push(`${inner}intervals [${place + 1}]:`,
      ...span(`${inner}    `, part.start.toFixed(6), part.end.toFixed(6)), `${inner}    text = ${quoted(text(part))}`));
  });
  lines.push("    item [3]:", `${inner}class = "TextTier"`, `${inner}name = "about"`, ...span(inner, 0, end),
    `${inner}points: size = 1`, `${inner}points [1]:`, `${inner}    number = 0`, `${inner}    mark = ${quoted(about)}`);
  return `${lines.join("\n")}\n`;
}

function eaf(prediction, about) {
  const parts = audible(prediction), name = escaped(prediction.file.split("/").at(-1));
  const slots = parts.flatMap(({ start, end }) => [start, end]).map((time, n) => (
    `<TIME_SLOT TIME_SLOT_ID="ts${n + 1}" TIME_VALUE="${round(1000 * time, 0)}"/>\n`));
  const annotations = parts.map((part, n) => (
    `<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a${n + 1}" TIME_SLOT_REF1="ts${2 * n + 1}" TIME_SLOT_REF2="ts${2 * n + 2}">`
    + `<ANNOTATION_VALUE>${escaped(caption(part))}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>\n`));
  return `<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="emoscope" DATE="1970-01-01T00:00:00Z" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
<MEDIA_DESCRIPTOR MEDIA_URL="${name}" MIME_TYPE="audio/*"/>
<PROPERTY NAME="emoscope:about">${escaped(about)}</PROPERTY>
</HEADER>
<TIME_ORDER>
${slots.join("")}</TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="default" TIER_ID="emotion">
${annotations.join("")}</TIER>
<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
`;
}

function cues(prediction, mark) {
  const clock = (seconds) => {
    const all = round(1000 * seconds, 0), two = (value) => String(Math.floor(value)).padStart(2, "0");
    return `${two(all / 3_600_000)}:${two((all / 60_000) % 60)}:${two((all / 1000) % 60)}${mark}${String(all % 1000).padStart(3, "0")}`;
  };
  return audible(prediction).map((part) => `${clock(part.start)} --> ${clock(part.end)}\n${caption(part)}\n`);
}

const srt = (prediction, about) => [`00:00:00,000 --> 00:00:00,000\n${about}\n`, ...cues(prediction, ",")]
  .map((cue, n) => `${n + 1}\n${cue}`).join("\n");

const vtt = (prediction, about) => ["WEBVTT\n", `NOTE ${about}\n`, ...cues(prediction, ".")].join("\n");

export const FORMATS = { csv, textgrid, eaf, srt, vtt };
