// What several parts of the pages use: elements, numbers as text, what a recording says, files to save.

/** An element. Attributes: a class, or an object whose functions become listeners. Text never is markup. */
export function make(tag, attributes = {}, ...content) {
  const made = document.createElement(tag);
  const named = typeof attributes === "string" ? { class: attributes } : attributes;
  for (const [name, value] of Object.entries(named)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else made.setAttribute(name, value);
  }
  made.append(...content);
  return made;
}

export function icon(shape) {
  const [picture, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  picture.setAttribute("viewBox", "0 0 20 20");
  picture.setAttribute("aria-hidden", "true");
  path.setAttribute("d", shape);
  picture.append(path);
  return picture;
}

/** Give an element the colour of an emotion. */
export function coloured(element, emotion) {
  element.style.setProperty("--colour", `var(--${emotion}, var(--soft))`);
  return element;
}

export const sentenceCase = (text) => text.charAt(0).toUpperCase() + text.slice(1);
export const percent = (value) => `${Math.round(100 * value)}\u00a0%`;

/** A colour #rrggbb as three numbers. */
export const rgb = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));

/** Seconds as 1:02:03.4 */
export function clock(seconds, digits = 0) {
  const unit = 10 ** digits, whole = Math.round(seconds * unit);
  const minutes = Math.floor(whole / unit / 60), rest = (whole - minutes * 60 * unit) / unit;
  const tail = rest.toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  if (minutes < 60) return `${minutes}:${tail}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${tail}`;
}

export const isSpeech = (segment) => Object.keys(segment.probabilities).length > 0;
export const isSilent = ({ warnings = [] }) => warnings.some((text) => /^(silent|no speech):/.test(text));

/** Whether the emotion changes; of a short recording, which gets no such warning, as its segments say. */
function isMixed({ warnings, uncertain, segments }) {
  const seconds = uncertain ? shares({}, segments) : [], total = seconds.reduce((sum, [, each]) => sum + each, 0);
  return warnings.some((text) => text.startsWith("mixed:")) || (total > 0 && seconds[0][1] < 0.75 * total);
}

/** When the last segment ends; those of two speakers may overlap. */
export const ending = (segments) => segments.reduce((last, { end }) => Math.max(last, end), 0);

/** The one of four things a recording can say: "no speech", "mixed", "not sure" or its emotion. */
export function verdict(prediction) {
  if (isSilent(prediction)) return "no speech";
  if (isMixed(prediction)) return "mixed";
  return prediction.uncertain ? "not sure" : prediction.emotion;
}

/** The file, and which of its channels. */
export const title = ({ file, prediction: { channel } }) => (channel ? `${file.name} (${channel})` : file.name);

/** What a segment is labelled: as corrected by hand, or as the model says. */
export function label(entry, segment) {
  return (entry.corrections?.size && entry.corrections.get(`${segment.start}-${segment.end}`)) || segment;
}

/** Seconds of speech by emotion between two times, the longest first. */
export function shares(entry, segments, from = 0, until = Infinity) {
  const seconds = new Map();
  for (const segment of segments) {
    const length = Math.min(segment.end, until) - Math.max(segment.start, from);
    if (length <= 0 || !isSpeech(segment)) continue;
    const { emotion } = label(entry, segment);
    if (emotion !== "silence") seconds.set(emotion, (seconds.get(emotion) ?? 0) + length);
  }
  return [...seconds].sort((a, b) => b[1] - a[1]);
}

export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
