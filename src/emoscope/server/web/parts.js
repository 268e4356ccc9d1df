// What several parts of the pages use: elements, numbers as text, requests, files to save.

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
export const percent = (value) => `${Math.round(100 * value)} %`;

/** Seconds as 1:02:03.4 */
export function clock(seconds, digits = 0) {
  const unit = 10 ** digits, whole = Math.round(seconds * unit);
  const minutes = Math.floor(whole / unit / 60), rest = (whole - minutes * 60 * unit) / unit;
  const tail = rest.toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  if (minutes < 60) return `${minutes}:${tail}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${tail}`;
}

export const isSpeech = (segment) => Object.keys(segment.probabilities).length > 0;

export async function ask(path, options) {
  const response = await fetch(path, options);
  if (response.ok) return response;
  const reason = await response.json().then((body) => body.error, () => response.statusText);
  throw new Error(reason);
}

export function upload(path, file) {
  const form = new FormData();
  form.append("files", file);
  return ask(path, { method: "POST", body: form });
}

export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
