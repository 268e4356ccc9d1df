// What recognises: the server that this page comes from or, in a folder of `emoscope export --web`, this tab.
// Addresses are relative to the folder of the page, which may lie anywhere on a site.

const page = new URL("../", import.meta.url);
const MOST_BYTES = 1_000_000_000; // of a file in this tab, which has to hold it
const MOST_SECONDS = 3600;

/**
 * The engine: `kind` ("server" or "tab"), `limits` { uploadBytes }, `examples` { name, file, source },
 * and models, predict, label and listen; a tab also has stream, a server adapt and `voices`: it tells voices
 * apart, with `by: "speaker"` and perhaps their number, `speakers`, for predict.
 * @param options `progress(loaded, total)` is told the bytes of the model that have arrived
 */
export function openEngine(options = {}) {
  const { model } = document.documentElement.dataset;
  return model ? openTab(new URL(model, page), options) : openServer();
}

async function ask(path, options) {
  const response = await fetch(new URL(path, page), options);
  if (response.ok) return response;
  const reason = await response.json().then((body) => body.error, () => response.statusText);
  throw new Error(reason);
}

function upload(path, files, signal) {
  const form = new FormData();
  for (const file of files) form.append("files", file);
  return ask(path, { method: "POST", body: form, signal });
}

/** What the server tells while it works, to `progress`; gives the last line, the answer. */
async function answered({ body }, progress) {
  let text = "", answer = null;
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let next; !(next = await reader.read()).done;) {
    const lines = (text + next.value).split("\n");
    text = lines.pop();
    for (const line of lines) {
      const told = JSON.parse(line);
      if (told.error) throw new Error(told.error);
      if (told.errors) answer = told;
      else progress(told.fraction, told.predictions);
    }
  }
  if (!answer) throw new Error("the server stopped before the end");
  return answer;
}

async function openServer() {
  const health = await (await ask("api/health")).json();
  return {
    kind: "server",
    limits: { uploadBytes: health.upload_bytes },
    examples: [],
    models: async () => (await ask("api/models")).json(),
    voices: true,
    predict: async (file, { by = "channel", speakers, progress = () => {}, signal } = {}) => {
      const count = speakers ? `&speakers=${speakers}` : "";
      return answered(await upload(`api/predict?by=${by}${count}&timeline=true&stream=true`, [file], signal), progress);
    },
    async label(entries, { signal } = {}) {
      const files = [...new Set(entries.map(({ file }) => file))];
      const { predictions } = await (await upload("api/predict?together=true", files, signal)).json();
      const sent = files.flatMap((file) => entries.filter((entry) => entry.file === file)); // in the order of the answer
      return entries.map((entry) => predictions[sent.indexOf(entry)]);
    },
    listen: async (file) => (await upload("api/listen", [file])).blob(),
    async adapt(files, table, { progress, signal }) {
      const form = new FormData();
      for (const [name, file] of files) form.append("files", file, name);
      form.append("corrections", table, "corrections.csv");
      return answered(await ask("api/adapt?stream=true", { method: "POST", body: form, signal }), progress);
    },
  };
}

async function openTab(folder, { progress } = {}) {
  const { load } = await import("./engine/emoscope.js");
  const recogniser = await load(folder, { progress }), { settings } = recogniser;
  navigator.serviceWorker?.register(new URL("sw.js", page)).catch(() => {}); // without it the page needs a network
  return {
    kind: "tab",
    limits: { uploadBytes: MOST_BYTES },
    examples: settings.examples.map((one) => ({ ...one, file: new URL(one.file, page).href })),
    models: async () => recogniser.models(),
    async predict(file, { progress: told, signal } = {}) {
      if (file.size > MOST_BYTES) throw new Error(`${file.name}: larger than ${MOST_BYTES / 1e6} MB, the limit here`);
      return { predictions: await recogniser.classify(file, { progress: told, signal, most: MOST_SECONDS }), errors: [] };
    },
    label: async (entries) => recogniser.together(entries.map(({ prediction }) => prediction)),
    listen: async (file) => file,
    stream: (options) => recogniser.stream(options),
  };
}
