// Panel: the labels and times as files of other programs.

import { ask, make, save } from "./parts.js";

const FORMATS = {
  json: "JSON", csv: "CSV", textgrid: "Praat TextGrid", eaf: "ELAN", srt: "SRT", vtt: "WebVTT",
};

export function exportPanel(page) {
  let current = null;

  async function download(format) {
    const { prediction, file } = current;
    let content = JSON.stringify(prediction, null, 1);
    if (format !== "json") {
      const headers = { "content-type": "application/json" };
      const response = await ask(`/api/export?format=${format}`, { method: "POST", body: content, headers });
      content = await response.text();
    }
    const ending = { textgrid: "TextGrid" }[format] ?? format;
    const blob = new Blob([content], { type: "application/octet-stream" });
    const channel = prediction.channel ? `-${prediction.channel}` : "";
    save(blob, `${file.name.replace(/\.[^.]*$/, "")}${channel}.${ending}`);
  }

  const buttons = Object.entries(FORMATS).map(([format, name]) => {
    const click = () => download(format).catch((error) => page.problem(error.message));
    return make("button", { class: "button", type: "button", "data-format": format, click }, name);
  });
  return {
    element: make("div", "exports", make("h3", "", "Export"),
      make("p", "note", "Download the labels and times of this recording for use in other programs."),
      make("div", "buttons", ...buttons)),
    show(entry) {
      current = entry;
    },
  };
}
