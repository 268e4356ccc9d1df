// Changes sample rates as the library soxr does, which Python uses: "HQ" is a sinc in a Kaiser window, "QQ" cubic
// interpolation. Sound may come in pieces. Both agree with soxr sample by sample; docs/browser.md says how closely.

import { joined } from "./numbers.js";

// Cutoff relative to the lower of both Nyquist frequencies, half width in samples of the lower rate, shape of the
// window: fitted to soxr's impulse responses, for ratios of small numbers (48 kHz) and of large ones (44.1 kHz).
const SIMPLE = [0.95687183, 96.85, 13.04], INTRICATE = [0.95684292, 109.67, 15.98];

const divisor = (a, b) => (b ? divisor(b, a % b) : a);
const filters = new Map();

/** Modified Bessel function of the first kind and order zero. */
function bessel(x) {
  let total = 1, term = 1;
  for (let k = 1; term > 1e-17 * total; k++) total += term *= (x / 2 / k) ** 2;
  return total;
}

/** Weights of the samples around a new one, for each of the places that it can have between two old ones. */
function filter(up, down) {
  const key = `${up}/${down}`;
  if (filters.has(key)) return filters.get(key);
  const scale = Math.min(1, up / down), [cutoff, width, shape] = up > 16 ? INTRICATE : SIMPLE;
  const half = Math.ceil(width / scale), size = 2 * half, rows = new Float32Array(up * size), top = bessel(shape);
  for (let phase = 0; phase < up; phase++) {
    for (let tap = 0; tap < size; tap++) {
      const x = (tap - half + 1 - phase / up) * scale, edge = 1 - (x / width) ** 2;
      if (edge <= 0) continue;
      const angle = Math.PI * cutoff * x;
      const sinc = angle ? Math.sin(angle) / angle : 1;
      rows[phase * size + tap] = scale * cutoff * sinc * (bessel(shape * Math.sqrt(edge)) / top);
    }
  }
  filters.set(key, { rows, half });
  return filters.get(key);
}

export class Resampler {
  constructor(from, to, quality = "HQ") {
    const common = divisor(from, to);
    [this.up, this.down, this.same] = [to / common, from / common, from === to];
    this.cubic = quality === "QQ";
    Object.assign(this, this.cubic ? { half: 2 } : this.same ? {} : filter(this.up, this.down));
    this.before = this.cubic ? 1 : this.half - 1; // samples needed before a place; behind it, `half`
    this.kept = new Float32Array(this.before || 0); // zeros before the first sample
    this.taken = this.made = 0; // samples in and out so far
  }

  /** Take in samples; gives those that are now certain, with `last` the rest. */
  feed(samples, last = false) {
    if (this.same) return samples;
    const { up, down, half, before } = this;
    this.taken += samples.length;
    const all = joined(last ? [this.kept, samples, new Float32Array(half)] : [this.kept, samples]);
    const first = this.taken - all.length + (last ? half : 0); // number of the first sample in `all`
    const exact = (this.taken * up) / down;
    const stop = last ? Math.floor(exact + 0.5) : Math.floor((Math.max(0, this.taken - half) * up) / down);
    const out = new Float32Array(Math.max(0, stop - this.made));
    for (let i = 0; i < out.length; i++) {
      const position = (this.made + i) * down, whole = Math.floor(position / up);
      const at = whole - before - first;
      out[i] = this.cubic ? interpolated(all, at, position / up - whole) : this.weighted(all, at, position - whole * up);
    }
    this.made += out.length;
    const used = Math.max(0, Math.floor((this.made * down) / up) - before - first);
    this.kept = all.slice(used);
    return out;
  }

  weighted(all, at, phase) {
    const { rows, half } = this, row = phase * 2 * half;
    let total = 0;
    for (let tap = 0; tap < 2 * half; tap++) total += rows[row + tap] * all[at + tap];
    return total;
  }
}

function interpolated(all, at, x) {
  const s0 = all[at], s1 = all[at + 1], s2 = all[at + 2], s3 = all[at + 3];
  const b = (s2 + s0) / 2 - s1, a = (s3 - s2 + s0 - s1 - 4 * b) / 6, c = s2 - s1 - a - b;
  return ((a * x + b) * x + c) * x + s1;
}

/** All of a recording at another rate, to as many samples as emoscope.audio.resample gives. */
export function resample(samples, from, to, quality) {
  if (from === to) return samples;
  const found = new Resampler(from, to, quality).feed(samples, true);
  if (quality === "QQ") return found;
  const whole = new Float32Array(Math.ceil((samples.length * to) / from));
  whole.set(found.subarray(0, whole.length));
  return whole;
}
