// Samples in the browser: decoding, what a picture needs of them, WAV for recordings.
// Samples are mono Float32Array in [-1, 1] at RATE; times are seconds.

export const RATE = 16000;
const BLOCK = 256; // samples behind one pair of extremes
const FFT_SIZE = 512; // 32 ms
const RANGE_DB = 65; // from the loudest point of a spectrogram down to the background

/** Decode bytes of any format that this browser knows, one channel of two or mixed down, at RATE. */
export async function decode(bytes, channel = "") {
  const context = new OfflineAudioContext(1, 1, RATE);
  const buffer = await context.decodeAudioData(bytes);
  if (channel) return buffer.getChannelData(["left", "right"].indexOf(channel));
  const mono = new Float32Array(buffer.length);
  for (let number = 0; number < buffer.numberOfChannels; number++) {
    const samples = buffer.getChannelData(number);
    for (let i = 0; i < mono.length; i++) mono[i] += samples[i] / buffer.numberOfChannels;
  }
  return mono;
}

/** Extremes of every block of samples, so that an hour can be drawn at once. */
export function extremes(samples) {
  const count = Math.ceil(samples.length / BLOCK);
  const low = new Float32Array(count), high = new Float32Array(count);
  for (let block = 0; block < count; block++) {
    let least = Infinity, most = -Infinity;
    const stop = Math.min(samples.length, (block + 1) * BLOCK);
    for (let i = block * BLOCK; i < stop; i++) {
      if (samples[i] < least) least = samples[i];
      if (samples[i] > most) most = samples[i];
    }
    low[block] = least;
    high[block] = most;
  }
  return { low, high };
}

/** Lowest and highest value between two sample numbers. */
export function between(samples, { low, high }, first, stop) {
  let least = Infinity, most = -Infinity;
  first = Math.max(0, Math.floor(first));
  stop = Math.min(samples.length, Math.max(first + 1, Math.ceil(stop)));
  if (stop - first < 4 * BLOCK) {
    for (let i = first; i < stop; i++) {
      least = Math.min(least, samples[i]);
      most = Math.max(most, samples[i]);
    }
  } else {
    for (let block = Math.floor(first / BLOCK); block < stop / BLOCK; block++) {
      least = Math.min(least, low[block]);
      most = Math.max(most, high[block]);
    }
  }
  return least <= most ? [least, most] : [0, 0];
}

const mel = (hertz) => 1127 * Math.log1p(hertz / 700);
const hertz = (value) => 700 * Math.expm1(value / 1127);

/**
 * Spectrogram of one part: columns × rows of values in [0, 1], row 0 the highest frequency.
 * Rows are evenly spaced in mel from 50 Hz to 7.5 kHz; a column is the mean of up to three frames.
 */
export function spectrogram(samples, start, end, columns, rows) {
  const bins = Float32Array.from({ length: rows }, (_, row) => {
    const value = mel(50) + (mel(7500) - mel(50)) * (1 - row / (rows - 1));
    return (hertz(value) * FFT_SIZE) / RATE;
  });
  const levels = new Float32Array(columns * rows);
  const step = ((end - start) * RATE) / columns;
  const frames = Math.max(1, Math.min(3, Math.round(step / FFT_SIZE)));
  const power = new Float32Array(FFT_SIZE / 2 + 1);
  let loudest = -Infinity;
  for (let column = 0; column < columns; column++) {
    power.fill(0);
    for (let frame = 0; frame < frames; frame++) {
      const centre = start * RATE + step * (column + (frame + 0.5) / frames);
      addPower(samples, Math.round(centre - FFT_SIZE / 2), power);
    }
    for (let row = 0; row < rows; row++) {
      const bin = Math.floor(bins[row]), part = bins[row] - bin;
      const value = power[bin] * (1 - part) + power[bin + 1] * part;
      const level = 10 * Math.log10(value / frames + 1e-10);
      levels[column * rows + row] = level;
      if (level > loudest) loudest = level;
    }
  }
  for (let i = 0; i < levels.length; i++) {
    levels[i] = Math.max(0, 1 + (levels[i] - loudest) / RANGE_DB);
  }
  return levels;
}

const WINDOW = Float32Array.from(
  { length: FFT_SIZE },
  (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / FFT_SIZE),
);
const COS = WINDOW.map((_, i) => Math.cos((2 * Math.PI * i) / FFT_SIZE));
const SIN = WINDOW.map((_, i) => -Math.sin((2 * Math.PI * i) / FFT_SIZE));
const real = new Float32Array(FFT_SIZE), imaginary = new Float32Array(FFT_SIZE);

/** Add the power spectrum of one frame; in-place radix-2 transform (Cooley & Tukey, 1965). */
function addPower(samples, first, power) {
  for (let i = 0, j = 0; i < FFT_SIZE; i++) {
    real[j] = (samples[first + i] || 0) * WINDOW[i];
    imaginary[j] = 0;
    let bit = FFT_SIZE >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
  }
  for (let size = 2; size <= FFT_SIZE; size *= 2) {
    const half = size / 2, stride = FFT_SIZE / size;
    for (let base = 0; base < FFT_SIZE; base += size) {
      for (let k = 0; k < half; k++) {
        const a = base + k, b = a + half, c = COS[k * stride], s = SIN[k * stride];
        const re = real[b] * c - imaginary[b] * s, im = real[b] * s + imaginary[b] * c;
        real[b] = real[a] - re;
        imaginary[b] = imaginary[a] - im;
        real[a] += re;
        imaginary[a] += im;
      }
    }
  }
  for (let i = 0; i <= FFT_SIZE / 2; i++) power[i] += real[i] ** 2 + imaginary[i] ** 2;
}

/** A WAV file, 16 bits, of mono samples. */
export function wav(pieces, rate) {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * length));
  const text = (at, word) => [...word].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // mono
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * length, true);
  let at = 44;
  for (const piece of pieces) {
    for (const value of piece) {
      view.setInt16(at, Math.max(-1, Math.min(1, value)) * 32767, true);
      at += 2;
    }
  }
  return new Blob([view.buffer], { type: "audio/wav" });
}
