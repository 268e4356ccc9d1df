// Emotion recognition in speech, in the browser: the module that others import. Types: emoscope.d.ts.

import { Labels } from "./labels.js";
import { decoded, wavSource } from "./wav.js";

/**
 * Load a model that `emoscope export --web` has written.
 * @param {string | URL} url its folder, which ends in a slash
 * @param {{ progress?: (loaded: number, total: number) => void, threads?: number }} [options] told are bytes
 * @returns {Promise<Recogniser>} before the model has arrived: whatever needs it waits
 */
export async function load(url, { progress = () => {}, threads } = {}) {
  const base = new URL(url, globalThis.location?.href), response = await fetch(new URL("emoscope.json", base));
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${response.statusText}`);
  return new Recogniser(decodedArrays(await response.json()), base, progress, threads);
}

class Recogniser {
  constructor(settings, base, progress, threads) {
    Object.assign(this, { settings, labels: new Labels(settings), calls: new Map(), found: new WeakMap(), count: 0 });
    // By way of a blob, for then the content security policy of the page is the worker's too.
    const script = new Blob([`import ${JSON.stringify(new URL("./worker.js", import.meta.url).href)};`], { type: "text/javascript" });
    this.worker = new Worker(URL.createObjectURL(script), { type: "module" });
    this.worker.onmessage = ({ data }) => this.answered(data);
    this.worker.onerror = (event) => this.calls.forEach(({ no }) => no(new Error(event.message ?? "the worker failed")));
    threads ??= globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
    /** Settles when the model is there. */
    this.ready = this.call("load", { settings, base: base.href, threads }, { progress: ([...state]) => progress(...state) });
    this.ready.catch(() => {}); // told to whoever needs it
  }

  /** What the model says about itself, as /api/models of the server. */
  models() {
    return this.settings.models;
  }

  /**
   * Recognise emotion in a recording; one prediction, or one for each of two channels with different speech.
   * @param {Blob | Float32Array | Float32Array[]} recording a file, or samples in [-1, 1], of each channel
   * @param {{ rate?: number, name?: string, timeline?: boolean, channel?: string, most?: number, signal?: AbortSignal,
   *   progress?: (fraction: number, predictions: import("./emoscope").Prediction[] | null) => void }} [options] the rate of samples in Hz;
   *   channel "left", "right", "1" … or "mix"; `most` seconds, longer recordings are refused
   * @returns {Promise<import("./emoscope").Prediction[]>}
   */
  async classify(recording, { signal, progress, name = recording.name ?? "", timeline = true, ...options } = {}) {
    let given = { ...options, name, timeline }, transfer = [];
    if (recording instanceof Blob) {
      const { constants: { audio } } = this.settings;
      if (!recording.size) throw new Error("empty file");
      // What a header gets wrong is told by the worker.
      const plain = await wavSource(recording, { audio, fail: () => {} });
      given = plain ? { ...given, blob: recording } : { ...given, ...(await readable(recording)) };
    } else given.channels = recording instanceof Float32Array ? [recording] : recording;
    if (given.channels && !given.rate) throw new Error("samples without a sample rate: give rate in Hz");
    await this.ready;
    if (recording instanceof Blob && given.channels) transfer = given.channels.map(({ buffer }) => buffer);
    const found = await this.call("classify", given, { transfer, signal, progress: progress && (([...state]) => progress(...state)) });
    return found.map((one) => this.kept(one));
  }

  /**
   * Label recordings of one voice, room or corpus relative to each other.
   * @param {import("./emoscope").Prediction[]} predictions that this object has given
   * @returns {import("./emoscope").Prediction[]} in their order; without segments where they changed
   */
  together(predictions) {
    const found = predictions.map((prediction) => this.found.get(prediction) ?? { prediction, isOne: false });
    return this.labels.together(found);
  }

  /**
   * Label sound while it arrives.
   * @param {{ rate: number, update?: (update: import("./emoscope").Update) => void }} options
   * @returns {import("./emoscope").Live}
   */
  stream({ rate, update = () => {} }) {
    const session = ++this.count, begun = this.ready.then(() => this.call("begin", { session, rate }));
    return {
      push: async (samples) => {
        await begun;
        const state = await this.call("push", { session, samples });
        if (state) update(state); // else it was cancelled
        return state ?? null;
      },
      finish: async (name = "microphone") => {
        await begun;
        return this.kept(await this.call("finish", { session, name }));
      },
      cancel: () => this.worker.postMessage({ method: "end", given: session }),
    };
  }

  /** End the worker and free its memory. */
  close() {
    this.worker.terminate();
  }

  kept(found) {
    this.found.set(found.prediction, found);
    return found.prediction;
  }

  call(method, given, { transfer = [], progress, signal } = {}) {
    const id = ++this.count;
    signal?.throwIfAborted();
    signal?.addEventListener("abort", () => this.worker.postMessage({ method: "cancel", given: id }), { once: true });
    return new Promise((yes, no) => {
      this.calls.set(id, { yes, no, progress });
      this.worker.postMessage({ id, method, given }, transfer);
    });
  }

  answered({ id, result, error, progress }) {
    const { yes, no, progress: told } = this.calls.get(id);
    if (progress) return told?.(progress);
    this.calls.delete(id);
    return error ? no(error.name === "AbortError" ? new DOMException(error.message, error.name) : new Error(error.message)) : yes(result);
  }
}

async function readable(blob) {
  try {
    return await decoded(blob);
  } catch {
    throw new Error("not audio that this browser can decode, or damaged");
  }
}

/** The settings, with the arrays of the card, which are base64 of float32. */
function decodedArrays(settings) {
  const { domain, offsets } = settings.card;
  const values = ({ float32 }) => new Float32Array(Uint8Array.from(atob(float32), (c) => c.charCodeAt(0)).buffer);
  for (const name of domain ? ["mean", "components", "variances"] : []) domain[name] = values(domain[name]);
  if (offsets) {
    const flat = Array.from(values(offsets.means)), width = settings.card.emotions.length;
    offsets.means = settings.card.emotions.map((_, n) => flat.slice(n * width, (n + 1) * width));
  }
  return settings;
}
