// Panel: the labels and times as files of other programs.

import { FORMATS } from "./engine/formats.js";
import { make, save } from "./parts.js";

const NAMES = {
  json: "JSON", csv: "CSV", textgrid: "Praat TextGrid", eaf: "ELAN", srt: "SRT", vtt: "WebVTT",
};

export function exportPanel() {
  const buttons = make("div", "buttons");
  let current = null;

  function download(format) {
    const { prediction } = current;
    const content = format === "json" ? JSON.stringify(prediction, null, 1) : FORMATS[format](prediction);
    const ending = { textgrid: "TextGrid" }[format] ?? format;
    const part = prediction.warnings.some((text) => text.startsWith("incomplete:")) ? "-incomplete" : "";
    save(new Blob([content], { type: "application/octet-stream" }), `${stem(current)}${part}.${ending}`);
  }

  function button(format) {
    const click = () => download(format);
    return make("button", { class: "button", type: "button", "data-format": format, click }, NAMES[format]);
  }

  const show = (entry) => {
    current = entry;
    if (!buttons.firstChild) buttons.append(...Object.keys(NAMES).map(button));
    for (const one of buttons.children) one.disabled = entry.partial; // until the analysis has ended
  };
  return {
    element: make("div", "exports", make("h3", "", "Export"),
      make("p", "note", "Download the model's labels and times of this recording for use in other programs."), buttons),
    show,
    update: show,
  };
}

/** The name of a recording's files, without their ending. */
export function stem({ file, prediction: { channel } }) {
  return file.name.replace(/\.[^.]*$/, "") + (channel ? `-${channel}` : "");
}
