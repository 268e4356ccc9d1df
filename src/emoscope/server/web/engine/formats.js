// A prediction as text that other programs read: emoscope.prediction.formats.

import { round } from "./numbers.js";

const isSpeech = ({ probabilities }) => Object.keys(probabilities).length > 0;
const audible = ({ segments }) => segments.filter(({ emotion }) => emotion !== "silence");
const label = ({ emotion, uncertain }) => emotion + (uncertain ? "?" : "");
const caption = (part) => label(part) + (isSpeech(part) ? ` ${round(100 * part.confidence, 0)}%` : "");
const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
const escaped = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** What a label means, the model and its licence, in a line that ends no cue of subtitles. */
function aboutText({ about: { model, licence, commercial_use: use, meaning } }) {
  const source = `${model ? `Model: ${model}. ` : ""}Licence: ${licence}. Commercial use: ${use}.`;
  return `${meaning} ${source}`.replace(/[\s\p{Cc}]+/gu, " ").replaceAll("-->", "→");
}

/** A number as Python writes it. */
function number(value) {
  if (Number.isInteger(value)) return value.toFixed(1);
  return Math.abs(value) < 1e-4 ? value.toExponential().replace(/e-(\d)$/, "e-0$1") : String(value);
}

function csv(prediction) {
  const { segments, about, warnings } = prediction, emotions = Object.keys(prediction.probabilities);
  const axes = ["arousal", "valence"].filter((axis) => axis in prediction), timed = segments.length > 0;
  const place = timed ? ["start", "end", "speaker"] : [], doubts = ["uncertain", "warnings", ...(timed ? ["file_warnings"] : [])];
  const head = ["file", ...place, "emotion", "confidence", ...emotions.map((name) => `p_${name}`), ...doubts];
  const rows = (timed ? segments : [prediction]).map((part) => [
    prediction.file, ...place.map((key) => part[key] ?? ""), part.emotion, part.confidence,
    ...emotions.map((name) => part.probabilities[name] ?? ""), String(part.uncertain ?? false),
    (part.warnings ?? []).join("; "), ...(timed ? [warnings.join("; ")] : []), about.model,
    ...axes.map((axis) => part[axis] ?? ""), about.licence, about.commercial_use, about.meaning,
  ]);
  const last = ["model", ...axes, "licence", "commercial_use", "meaning"];
  const cell = (value) => {
    const text = typeof value === "number" ? number(value) : value;
    return /[",\r\n]/.test(text) ? quoted(text) : text;
  };
  return [[...head, ...last], ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
}

/** Each speaker's segments, and those of nobody that sound, by what their tiers are called after. */
function lanes(segments) {
  const divided = segments.some(({ speaker }) => speaker), found = new Map(segments.length ? [] : [["", []]]);
  for (const part of segments) {
    const name = part.speaker ? `: ${part.speaker}` : "";
    if (name || !divided || part.emotion !== "silence") found.set(name, [...(found.get(name) ?? []), part]);
  }
  return [...found];
}

/** The segments and, between them, nameless ones: the tiers of a TextGrid have no gaps. */
function* filled(segments, end) {
  let position = 0;
  for (const part of [...segments, { start: end, end }]) {
    if (part.start > position) yield { start: position, end: part.start, emotion: "", probabilities: {} };
    if (part.end > part.start) yield part;
    position = Math.max(position, part.end);
  }
}

function textgrid(prediction) {
  const { segments } = prediction, about = aboutText(prediction), length = segments.reduce((most, { end }) => Math.max(most, end), 0), end = length.toFixed(6);
  const texts = { emotion: label, confidence: (part) => (isSpeech(part) ? part.confidence.toFixed(3) : "") };
  const span = (indent, from, until) => [`${indent}xmin = ${from}`, `${indent}xmax = ${until}`], inner = " ".repeat(8);
  const tiers = lanes(segments).flatMap(([name, own]) => (
    Object.entries(texts).map(([kind, text]) => [`${kind}${name}`, [...filled(own, length)], text])));
  const lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", ...span("", 0, end), "tiers? <exists>",
    `size = ${tiers.length + 1}`, "item []:"];
  tiers.forEach(([name, parts, text], n) => {
    lines.push(`    item [${n + 1}]:`, `${inner}class = "IntervalTier"`, `${inner}name = ${quoted(name)}`, ...span(inner, 0, end),
      `${inner}intervals: size = ${parts.length}`);
    parts.forEach((part, place) => lines.push(`${inner}intervals [${place + 1}]:`,
      ...span(`${inner}    `, part.start.toFixed(6), part.end.toFixed(6)), `${inner}    text = ${quoted(text(part))}`));
  });
  lines.push(`    item [${tiers.length + 1}]:`, `${inner}class = "TextTier"`, `${inner}name = "about"`, ...span(inner, 0, end),
    `${inner}points: size = 1`, `${inner}points [1]:`, `${inner}    number = 0`, `${inner}    mark = ${quoted(about)}`);
  return `${lines.join("\n")}\n`;
}

function eaf(prediction) {
  const parts = audible(prediction), name = escaped(prediction.file.split("/").at(-1));
  const slots = parts.flatMap(({ start, end }) => [start, end]).map((time, n) => (
    `<TIME_SLOT TIME_SLOT_ID="ts${n + 1}" TIME_VALUE="${round(1000 * time, 0)}"/>\n`));
  const tiers = new Map(parts.length ? [] : [["", []]]);
  parts.forEach((part, n) => tiers.set(part.speaker ?? "", [...(tiers.get(part.speaker ?? "") ?? []),
    `<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a${n + 1}" TIME_SLOT_REF1="ts${2 * n + 1}" TIME_SLOT_REF2="ts${2 * n + 2}">`
    + `<ANNOTATION_VALUE>${escaped(caption(part))}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>\n`]));
  const written = [...tiers].map(([speaker, annotations]) => {
    const who = escaped(speaker), person = who ? ` PARTICIPANT="${who}"` : "", id = who ? `emotion: ${who}` : "emotion";
    return `<TIER LINGUISTIC_TYPE_REF="default"${person} TIER_ID="${id}">\n${annotations.join("")}</TIER>\n`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="emoscope" DATE="${new Date().toISOString()}" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
<MEDIA_DESCRIPTOR MEDIA_URL="${name}" MIME_TYPE="audio/*"/>
<PROPERTY NAME="emoscope:about">${escaped(aboutText(prediction))}</PROPERTY>
</HEADER>
<TIME_ORDER>
${slots.join("")}</TIME_ORDER>
${written.join("")}<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
`;
}

function cues(prediction, mark, named) {
  const clock = (seconds) => {
    const all = round(1000 * seconds, 0), two = (value) => String(Math.floor(value)).padStart(2, "0");
    return `${two(all / 3_600_000)}:${two((all / 60_000) % 60)}:${two((all / 1000) % 60)}${mark}${String(all % 1000).padStart(3, "0")}`;
  };
  return audible(prediction).map((part) => `${clock(part.start)} --> ${clock(part.end)}\n${part.speaker ? named(part.speaker) : ""}${caption(part)}\n`);
}

const srt = (prediction) => [`00:00:00,000 --> 00:00:00,000\n${aboutText(prediction)}\n`, ...cues(prediction, ",", (name) => `${name}: `)]
  .map((cue, n) => `${n + 1}\n${cue}`).join("\n");

const vtt = (prediction) => ["WEBVTT\n", `NOTE ${aboutText(prediction)}\n`, ...cues(prediction, ".", (name) => `<v ${name}>`)].join("\n");

export const FORMATS = { csv, textgrid, eaf, srt, vtt };
