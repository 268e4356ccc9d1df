// Corrections as rows of a table that emoscope reads as a labelled corpus.

const COLUMNS = ["file", "start", "end", "speaker", "emotion", "corrected"];

/** The corrections of recordings, which are called as a function of their files says. */
export function rowsOf(entries, nameOf) {
  return entries.flatMap(({ file, prediction: { channel }, corrections }) =>
    [...corrections.values()].sort((a, b) => a.start - b.start).map((row) =>
      ({ file: nameOf(file), ...row, corrected: row.corrected ? "yes" : "no", ...(channel && { audio_channel: channel }) })));
}

export function csv(rows) {
  const columns = rows.some((row) => row.audio_channel) ? [...COLUMNS, "audio_channel"] : COLUMNS;
  return [columns, ...rows.map((row) => columns.map((column) => row[column]))].map((line) => `${line.map(cell).join(",")}\n`).join("");
}

/** A cell of a CSV file. */
const cell = (value) => (/[",\n\r]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
