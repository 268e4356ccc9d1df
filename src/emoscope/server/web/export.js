// Panel: the labels and times as files of other programs.

import { make, save } from "./parts.js";

const FORMATS = {
  json: "JSON", csv: "CSV", textgrid: "Praat TextGrid", eaf: "ELAN", srt: "SRT", vtt: "WebVTT",
};

export function exportPanel(page) {
  const buttons = make("div", "buttons");
  let current = null;

  async function download(format) {
    const { prediction } = current;
    const content = format === "json" ? JSON.stringify(prediction, null, 1) : await page.engine.export(prediction, format);
    const ending = { textgrid: "TextGrid" }[format] ?? format;
    save(new Blob([content], { type: "application/octet-stream" }), `${stem(current)}.${ending}`);
  }

  function button(format) {
    const click = () => download(format).catch((error) => page.problem(error.message));
    return make("button", { class: "button", type: "button", "data-format": format, click }, FORMATS[format]);
  }

  const show = (entry) => {
    current = entry;
    if (buttons.firstChild) return;
    buttons.append(...Object.keys(FORMATS).filter((format) => format === "json" || page.engine.formats.includes(format)).map(button));
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
