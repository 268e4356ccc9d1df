// The worker behind emoscope.js: loads the model and recognises, one request after the other.

import { Recogniser, fail } from "./recogniser.js";
import { VoiceActivity } from "./voice.js";
import { memorySource, wavSource } from "./wav.js";

let recogniser, queue = Promise.resolve();
const cancelled = new Set(); // ids of requests
const sessions = new Map(); // of live labels

/** Bytes of a file, from the cache of this model where it is there; unpacked where it is packed. */
async function fetched(cache, address, tell, after) {
  const kept = await cache?.match(address);
  const response = kept ?? await fetch(address);
  if (!response.ok) throw new Error(`${address}: ${response.status} ${response.statusText}`);
  const parts = [], reader = response.body.getReader();
  for (let next; !(next = await reader.read()).done; tell(next.value.length)) parts.push(next.value);
  const blob = new Blob(parts), start = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  if (cache && !kept) after.push(() => cache.put(address, new Response(blob)));
  const packed = start[0] === 0x1f && start[1] === 0x8b; // some hosts unpack it themselves
  return new Response(packed ? blob.stream().pipeThrough(new DecompressionStream("gzip")) : blob).arrayBuffer();
}

const methods = {
  async load({ settings, base, threads }, tell) {
    const cache = await self.caches?.open(settings.cache).catch(() => null), { files } = settings;
    const at = (name) => new URL(name, base).href;
    let loaded = 0;
    const asked = ["wasm", "model", "detector", "known"].map((name) => files[name]);
    const total = asked.reduce((all, file) => all + (file?.bytes ?? 0), 0);
    const after = []; // what can wait until the first label
    const [wasm, model, detector, known] = asked.map((file) => (
      file && fetched(cache, at(file.path), (bytes) => tell([loaded += bytes, total]), after)));
    const runtime = await import(at(files.runtime.path));
    Object.assign(runtime.env.wasm, { wasmBinary: await wasm, numThreads: threads });
    runtime.env.logLevel = "error";
    const options = { executionProviders: ["wasm"] };
    const graphs = {
      // Optimising this small graph takes longer than it saves on a few utterances.
      detector: await runtime.InferenceSession.create(await detector, { ...options, graphOptimizationLevel: "disabled" }),
      model: await runtime.InferenceSession.create(await model, options),
    };
    recogniser = new Recogniser(settings, runtime, graphs, (await known) && new Uint32Array(await known));
    // Where there is no room, they are loaded again at the next visit.
    setTimeout(() => Promise.all(after.map((keep) => keep())).catch(() => {}), 500);
  },

  async classify({ blob, channels, rate, name, most, ...options }, tell, id) {
    const { constants } = recogniser;
    const source = blob ? await wavSource(blob, { audio: constants.audio, fail }) : memorySource(channels, rate, constants);
    const progress = (...state) => tell(state);
    const alive = () => {
      if (cancelled.delete(id)) throw new DOMException("The analysis was cancelled.", "AbortError");
    };
    return recogniser.recognise({ ...source, most }, name, { ...options, progress, alive });
  },

  /** What the detector says of sound at its rate: speech and level of each frame. */
  async frames({ samples }) {
    const { speech, level } = await new VoiceActivity(recogniser).feed(samples, true);
    return [[...speech], [...level]];
  },

  /** Milliseconds that the model takes for sound that is prepared already. */
  async time({ samples }) {
    const { Tensor } = recogniser.runtime, begun = performance.now();
    await recogniser.graphs.model.run({ samples: new Tensor("float32", samples, [1, samples.length]) });
    return performance.now() - begun;
  },

  async begin({ session, rate }) {
    sessions.set(session, recogniser.live(rate));
  },

  push: ({ session, samples }) => sessions.get(session)?.feed(samples),

  async finish({ session, name }) {
    const found = await sessions.get(session).finish(name);
    sessions.delete(session);
    return found;
  },
};

self.onmessage = ({ data: { id, method, given } }) => {
  if (method === "cancel") return cancelled.add(given);
  if (method === "end") return sessions.delete(given);
  const tell = (progress) => self.postMessage({ id, progress });
  return queue = queue.then(() => methods[method](given, tell, id)).then(
    (result) => self.postMessage({ id, result }),
    ({ message, name }) => self.postMessage({ id, error: { message, name } }),
  );
};
