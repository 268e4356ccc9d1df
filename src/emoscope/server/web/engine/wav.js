// Reads WAV files at their own rate, piece by piece; what else this browser decodes, all at once.
// A source gives blocks of { channels: [Float32Array], rate, notes }, as often as it is asked.

const OPEN = [2 ** 32 - 1, 2 ** 31]; // what encoders leave as a size that they cannot know, or nearly
const HEADER_BYTES = 64; // some writers count the header as samples
const FULL = 48_000; // Hz at which sound is decoded where its own rate is not known
const text = (view, at, length) => String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, length));

/** How one sample is read, by format and bits. */
const READERS = {
  "1/8": (view, at) => (view.getUint8(at) - 128) / 128,
  "1/16": (view, at) => view.getInt16(at, true) / 32768,
  "1/24": (view, at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 8388608,
  "1/32": (view, at) => view.getInt32(at, true) / 2147483648,
  "3/32": (view, at) => view.getFloat32(at, true),
  "3/64": (view, at) => view.getFloat64(at, true),
};

/** A source of a WAV file whose samples are plain; null of anything else. */
export async function wavSource(blob, { audio, fail }) {
  const view = new DataView(await blob.slice(0, 2 ** 20).arrayBuffer());
  if (view.byteLength < 12 || text(view, 0, 4) !== "RIFF" || text(view, 8, 4) !== "WAVE") return null;
  let format = null;
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const name = text(view, at, 4), size = view.getUint32(at + 4, true);
    if (name === "fmt " && at + 24 <= view.byteLength) {
      const code = view.getUint16(at + 8, true), extensible = code === 0xfffe && size >= 40;
      format = {
        kind: extensible ? view.getUint16(at + 32, true) : code,
        count: view.getUint16(at + 10, true),
        rate: view.getUint32(at + 12, true),
        bits: view.getUint16(at + 22, true),
      };
    }
    if (name === "data" && format) return pieces(blob, at + 8, size, format, { audio, fail });
    at += 8 + size + (size % 2);
  }
  return null;
}

function pieces(blob, start, stated, { kind, count, rate, bits }, { audio, fail }) {
  const read = READERS[`${kind}/${bits}`];
  if (!read || !count) return null;
  const held = blob.size - start, unknown = !stated || OPEN.some((most) => stated <= most && stated >= most - 4096);
  const unfinished = unknown && stated !== held && held > 0;
  if (!unfinished && stated - held > HEADER_BYTES) fail(audio.WRONG_BYTES, { stated, held });
  const frame = (count * bits) / 8, total = Math.floor((unfinished ? held : Math.min(stated, held)) / frame);
  const notes = unfinished ? [audio.UNFINISHED] : [], most = Math.max(1, Math.floor(audio._BLOCK / count));
  async function* blocks() {
    for (let from = 0; from < total; from += most) {
      const length = Math.min(most, total - from), first = start + from * frame;
      const view = new DataView(await blob.slice(first, first + length * frame).arrayBuffer());
      const channels = Array.from({ length: count }, () => new Float32Array(length));
      for (let i = 0; i < length; i++) {
        for (let c = 0; c < count; c++) channels[c][i] = read(view, i * frame + (c * bits) / 8);
      }
      yield { channels, rate, notes };
    }
  }
  return { blocks, seconds: total / rate };
}

/** A source of samples in memory. */
export function memorySource(channels, rate, { audio }) {
  const most = Math.max(1, Math.floor(audio._BLOCK / channels.length)), total = channels[0].length;
  async function* blocks() {
    for (let from = 0; from < total; from += most) {
      yield { channels: channels.map((samples) => samples.subarray(from, from + most)), rate, notes: [] };
    }
  }
  return { blocks, seconds: total / rate };
}

/** Channels and rate of a recording in any format that this browser knows; of a window, not of a worker. */
export async function decoded(blob) {
  const bytes = await blob.arrayBuffer(), rate = rateOf(new DataView(bytes));
  const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  return { channels: Array.from({ length: buffer.numberOfChannels }, (_, n) => buffer.getChannelData(n)), rate };
}

/** The rate that FLAC, Vorbis and MP3 state near their beginning, so that the browser does not resample. */
function rateOf(view) {
  const size = Math.min(view.byteLength, 2 ** 16);
  const start = size > 64 ? text(view, 0, Math.min(size, 4096)) : "";
  const vorbis = start.indexOf("\x01vorbis");
  let rate = 0;
  if (start.startsWith("fLaC")) rate = view.getUint32(18) >>> 12;
  else if (start.startsWith("OggS") && vorbis > 0) rate = view.getUint32(vorbis + 12, true);
  else if (start.startsWith("ID3") || (size > 4 && view.getUint16(0) >>> 5 === 0x7ff)) {
    const tag = start.startsWith("ID3") ? 10 + [6, 7, 8, 9].reduce((n, at) => n * 128 + view.getUint8(at), 0) : 0;
    const header = tag + 4 <= view.byteLength ? view.getUint32(tag) : 0, version = (header >>> 19) & 3;
    if (header >>> 21 === 0x7ff) rate = [44100, 48000, 32000, 0][(header >>> 10) & 3] / [4, 1, 2, 1][version];
  }
  return rate >= 8000 && rate <= 96_000 ? rate : FULL;
}
