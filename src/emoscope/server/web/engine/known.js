// Recognises recordings that the model was trained on, by fingerprints: emoscope.prediction.known.

import { fill } from "./numbers.js";
import { resample } from "./resample.js";

const FAR = 2 ** 20, SHIFTS = [12, 0]; // more frames than a recording has; of the bits by which words are looked up

export class Known {
  /** @param words of Uint32: the number of clips, their lengths, their corpora (0: not trained on), the words */
  constructor(words, corpora, { known, fingerprint, voice_activity }) {
    const count = words[0];
    Object.assign(this, { corpora, known, fingerprint, detectorRate: voice_activity.RATE });
    [this.lengths, this.corpus] = [words.subarray(1, count + 1), words.subarray(count + 1, 2 * count + 1)];
    this.words = words.subarray(2 * count + 1);
    let at = 0;
    this.starts = this.lengths.map((length) => (at += length) - length);
  }

  /** A warning where a recording at the detector's rate was in the training data. */
  warnings(samples) {
    const found = this.find(samples), corpus = found && this.corpora[this.corpus[found.clip] - 1];
    if (!corpus) return [];
    const { name, n_clips, n_eligible } = corpus, { IS_TRAINED, MAYBE_TRAINED, WHOLE, PART } = this.known;
    const values = { what: found.share >= 0.5 ? WHOLE : PART, name, some: n_clips || "some", n_eligible };
    return [fill(n_clips === null || n_clips < n_eligible ? MAYBE_TRAINED : IS_TRAINED, values)];
  }

  find(samples) {
    const { RATE, STEP, MIN_WORDS, MAX_DIFFERENCE, _QUIET } = this.known;
    const sound = resample(samples, this.detectorRate, RATE);
    let peak = 0;
    for (const value of sound) peak = Math.max(peak, Math.abs(value));
    const isLoud = (value) => Math.abs(value) > Math.fround(_QUIET * peak);
    const first = Math.max(0, sound.findIndex(isLoud)), stop = Math.max(0, sound.findLastIndex(isLoud));
    const margin = Math.round(this.fingerprint.WINDOW_SECONDS * RATE);
    const { words, sounding } = bits(sound.subarray(Math.max(0, first - margin), stop + margin), RATE, this.fingerprint);
    const total = sounding.filter(Boolean).length;
    for (const [clip, begin] of this.candidates(words, sounding)) {
      const stored = this.words.subarray(this.starts[clip], this.starts[clip] + this.lengths[clip]);
      for (const moved of [begin, begin - 1, begin + 1]) {
        let compared = 0, wrong = 0;
        stored.forEach((word, n) => {
          const at = moved + STEP * n;
          if (!word || !sounding[at]) return;
          compared++;
          wrong += ones(word ^ words[at]);
        });
        if (compared >= MIN_WORDS && wrong <= MAX_DIFFERENCE * 32 * compared) {
          return { clip, share: Math.min(1, (STEP * compared) / total) };
        }
      }
    }
    return null;
  }

  /** Clips with the frame they would begin at, for which most words vote. */
  candidates(words, sounding) {
    const { STEP, MIN_VOTES, _KEY } = this.known, votes = new Map();
    this.tables ??= SHIFTS.map((shift) => this.table(shift));
    this.tables.forEach(({ begins, places }, t) => {
      words.forEach((word, frame) => {
        const key = (word >>> SHIFTS[t]) & _KEY;
        for (let i = sounding[frame] ? begins[key] : Infinity; i < begins[key + 1]; i++) {
          const place = places[i], clip = this.clips[place];
          const vote = clip * FAR + frame + STEP * (this.starts[clip] - place) + FAR / 2;
          votes.set(vote, (votes.get(vote) ?? 0) + 1);
        }
      });
    });
    const enough = [...votes].filter(([, count]) => count >= MIN_VOTES).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    return enough.slice(0, 8).map(([vote]) => [Math.floor(vote / FAR), (vote % FAR) - FAR / 2]);
  }

  /** For each key where its places among the words begin, and these places. */
  table(shift) {
    const { words, known: { _KEY } } = this, begins = new Uint32Array(_KEY + 3);
    this.clips ??= Uint16Array.from(words, ((clip) => (_, at) => {
      while (at >= this.starts[clip] + this.lengths[clip]) clip++;
      return clip;
    })(0));
    for (const word of words) if (word) begins[((word >>> shift) & _KEY) + 2]++;
    for (let key = 1; key < begins.length; key++) begins[key] += begins[key - 1];
    const places = new Uint32Array(begins.at(-1));
    words.forEach((word, place) => {
      if (word) places[begins[((word >>> shift) & _KEY) + 1]++] = place;
    });
    return { begins, places };
  }
}

function ones(word) {
  let count = 0;
  for (; word; word &= word - 1) count++;
  return count;
}

/** The word of each frame, and whether it sounds: emoscope.audio.fingerprint.bits. */
export function bits(samples, rate, { RATE, HOP, WINDOW_SECONDS, MIN_HZ, MAX_HZ, N_BANDS, SILENT_DB }) {
  const size = Math.round(WINDOW_SECONDS * rate), half = size / 2, top = (MAX_HZ * rate) / RATE;
  const edges = Array.from({ length: N_BANDS + 1 }, (_, n) =>
    Math.round(MIN_HZ * (top / MIN_HZ) ** (n / N_BANDS) * WINDOW_SECONDS));
  const count = Math.floor(samples.length / HOP) + 1, bands = [], fft = transform(size);
  for (let frame = 0; frame < count; frame++) {
    const { real, imaginary } = fft((i) => samples[frame * HOP + i - half] ?? 0);
    bands.push(edges.slice(0, -1).map((edge, n) => {
      let power = 0;
      for (let bin = edge; bin < Math.max(edge + 1, edges[n + 1]); bin++) power += real[bin] ** 2 + imaginary[bin] ** 2;
      return power;
    }));
  }
  const floor = bands.reduce((most, row) => Math.max(most, ...row), 0) * 1e-7 + 1e-30;
  const slopes = bands.map((row) => row.slice(1, 33).map((value, n) => Math.log((value + floor) / (row[n] + floor))));
  const words = Uint32Array.from(slopes, (row, n) => row.reduce((word, value, bit) => (
    n && value > slopes[n - 1][bit] ? word | (1 << (31 - bit)) : word), 0));
  const loud = bands.map((row) => row.reduce((a, b) => a + b)), least = Math.max(...loud) / 10 ** (SILENT_DB / 10);
  return { words, sounding: loud.map((value) => value > least) };
}

/** A windowed radix-2 transform (Cooley & Tukey, 1965) of what a function gives for each place. */
function transform(size) {
  const turn = (i) => (2 * Math.PI * i) / size, real = new Float64Array(size), imaginary = new Float64Array(size);
  const cos = Float64Array.from(real, (_, i) => Math.cos(turn(i))), sin = cos.map((_, i) => -Math.sin(turn(i)));
  return (value) => {
    for (let i = 0, j = 0; i < size; i++) {
      [real[j], imaginary[j]] = [value(i) * (0.5 - 0.5 * cos[i]), 0];
      let bit = size >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
    }
    for (let span = 2; span <= size; span *= 2) {
      for (let base = 0; base < size; base += span) {
        for (let k = 0; k < span / 2; k++) {
          const a = base + k, b = a + span / 2, c = cos[(k * size) / span], s = sin[(k * size) / span];
          const re = real[b] * c - imaginary[b] * s, im = real[b] * s + imaginary[b] * c;
          [real[b], imaginary[b]] = [real[a] - re, imaginary[a] - im];
          real[a] += re;
          imaginary[a] += im;
        }
      }
    }
    return { real, imaginary };
  };
}
