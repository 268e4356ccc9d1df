// What makes a recording hard to classify (emoscope.audio.quality, channels), and the level of it (level).

import { fill, joined, mean, percentile } from "./numbers.js";
import { resample } from "./resample.js";
import { Detector, NO_FRAMES } from "./voice.js";

/** Measures one recording, fed in pieces. */
export class Quality {
  constructor({ quality, voice_activity }) {
    Object.assign(this, { q: quality, seconds: 0, peak: 0, clipped: [], samples: 0, parts: [], background: 0 });
    Object.assign(this, { constants: { quality, voice_activity }, frameSeconds: voice_activity.FRAME_SECONDS });
  }

  feed(samples, rate) {
    const ceiling = this.q._CEILING;
    let peak = 0;
    for (const value of samples) peak = Math.max(peak, Math.abs(value));
    if (peak * ceiling > this.peak) this.clipped = []; // what looked like the ceiling so far was not
    this.peak = Math.max(this.peak, peak);
    const high = Math.fround(ceiling * this.peak);
    for (let i = 0, run = 0; i < samples.length; i++) {
      run = Math.abs(samples[i]) >= high ? run + 1 : 0;
      if (run >= 3) this.clipped.push(this.seconds + (i - 2) / rate);
    }
    this.samples += samples.length;
    this.seconds += samples.length / rate;
  }

  feedFrames(frames) {
    this.parts.push(frames);
    this.background = 0;
  }

  /** The quality of a part, in seconds, against the background of the whole recording. */
  part(start, end) {
    const part = new Quality(this.constants), { speech, level } = this.frames;
    const [first, stop] = [start, end].map((time) => halfEven(time / this.frameSeconds));
    part.parts.push({ speech: speech.subarray(first, stop), level: level.subarray(first, stop) });
    part.clipped = this.clipped.filter((time) => time >= start && time < end);
    part.samples = halfEven((end - start) * (this.samples / this.seconds));
    return Object.assign(part, { peak: this.peak, background: this.noise });
  }

  /** Mean power of the quietest tenth of the recording. */
  get noise() {
    const power = Float64Array.from(this.frames.level, (value) => 10 ** (value / 10)).sort();
    const count = Math.max(1, halfEven(this.q._BACKGROUND * power.length));
    return (this.background ||= mean(Array.from(power.subarray(0, count))));
  }

  get frames() {
    const whole = {};
    for (const name of ["speech", "level"]) whole[name] = joined(this.parts.map((part) => part[name]));
    this.parts = [whole];
    return whole;
  }

  get snr() {
    const { speech, level } = this.frames, power = Array.from(level, (value) => 10 ** (value / 10));
    const spoken = power.filter((_, n) => speech[n] >= this.q._SPEECH);
    const { noise } = this;
    return spoken.length ? 10 * Math.log10(Math.max(mean(spoken) - noise, 1e-12) / noise) : NaN;
  }

  warnings() {
    const { q } = this, { level, speech } = this.frames;
    if (!level.length || Math.max(...maxima(level)) < q.QUIET) return [fill(q.SILENT, { least: q.QUIET })];
    const told = [], { snr } = this;
    const seconds = speech.filter((value) => value >= q._SPEECH).length * this.frameSeconds;
    const clipped = this.clipped.length / Math.max(1, this.samples);
    if (!seconds) told.push(q.NO_SPEECH);
    else if (seconds < q.MIN_SPEECH_SECONDS) told.push(fill(q.TOO_SHORT, { seconds, least: q.MIN_SPEECH_SECONDS }));
    if (this.peak > 10 ** (q.QUIET / 20) && clipped > q.CLIPPED) told.push(fill(q.IS_CLIPPED, { clipped }));
    if (snr < q.NOISY) told.push(fill(q.IS_NOISY, { snr, least: q.NOISY }));
    return told;
  }
}

const halfEven = (value) => (value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));

/** Largest values of pieces: a function takes no more arguments than fit on the stack. */
function* maxima(values) {
  for (let i = 0; i < values.length; i += 4096) yield Math.max(...values.subarray(i, i + 4096));
}

/** Compares two channels block by block; of more or fewer only the number is kept. */
export class ChannelMeter {
  constructor(model) {
    Object.assign(this, { model, c: model.constants.channels, count: 0, frames: [[NO_FRAMES], [NO_FRAMES]] });
  }

  async feed(channels, rate) {
    this.count = channels.length;
    if (this.count !== 2) return;
    const [a, b] = channels, { c } = this;
    let aa = 0, bb = 0, ab = 0;
    for (let i = 0; i < a.length; i++) {
      aa += a[i] * a[i];
      bb += b[i] * b[i];
      ab += a[i] * b[i];
    }
    const size = Math.sqrt(aa * bb), correlation = size ? ab / size : NaN;
    const alike = Math.abs(correlation) > c._ALIKE && Math.min(aa, bb) > c._AS_LOUD * Math.max(aa, bb);
    if (alike || a.length < c._SHORTEST * rate) return;
    for (const [n, side] of channels.entries()) {
      const sound = resample(side, rate, this.model.constants.voice_activity.RATE, "QQ");
      this.frames[n].push(await new Detector(this.model).feed(sound, true));
    }
  }

  /** Whether each of two channels holds speech that the other does not. */
  get differ() {
    if (this.count !== 2) return false;
    const { c } = this, second = this.model.constants.voice_activity.FRAME_SECONDS;
    const sides = this.frames.map((parts) => {
      const speech = joined(parts.map((part) => part.speech)), level = joined(parts.map((part) => part.level));
      const speaks = Array.from(speech, (value, n) => value >= c._SPEECH && level[n] > c._QUIET);
      return { speaks, level, loud: percentile(level.filter((_, n) => speaks[n]), 95) };
    });
    if (!sides.every(({ speaks }) => speaks.some(Boolean))) return false;
    const relative = sides.map(({ level, loud }) => Array.from(level, (value) => value - loud));
    const own = sides.map(({ speaks }, s) => second * speaks.filter((said, n) => said
      && relative[s][n] - relative[1 - s][n] >= c.LOUDER && relative[s][n] > -c._DISTINCT).length);
    const speech = second * sides[0].speaks.filter((said, n) => said || sides[1].speaks[n]).length;
    return Math.min(...own) >= Math.max(c.SECONDS, c.SHARE * speech);
  }
}

/** Trims a recording to its speech and sets its level: emoscope.audio.level.TrimAndNormalise. */
export function trimAndNormalise(samples, rate, options, { level: { FRAME_SECONDS, HOP_SECONDS, FLOOR } }) {
  const offset = Math.fround(mean64(samples)), centred = samples.map((value) => value - offset);
  const length = Math.round(FRAME_SECONDS * rate), hop = Math.round(HOP_SECONDS * rate);
  const sums = new Float64Array(Math.max(length, samples.length) + 1);
  for (let i = 1; i < sums.length; i++) sums[i] = sums[i - 1] + (centred[i - 1] ?? 0) ** 2;
  const levels = [];
  for (let at = 0; at + length < sums.length; at += hop) {
    levels.push(10 * Math.log10(Math.max(sums[at + length] - sums[at], 0) / length + FLOOR));
  }
  const loud = percentile(levels, 97), floor = percentile(levels, 5);
  const threshold = Math.max(loud - options.below_loud, Math.min(floor + options.above_floor, loud - 15));
  const isSpeech = (value) => value > threshold;
  const first = Math.max(0, levels.findIndex(isSpeech));
  const last = levels.some(isSpeech) ? levels.findLastIndex(isSpeech) : levels.length - 1;
  const margin = Math.round(options.margin * rate), start = Math.max(0, first * hop - margin);
  const stop = Math.min(samples.length, last * hop + length + margin);
  const power = mean(levels.filter((value) => value > loud - 25).map((value) => 10 ** (value / 10)));
  const gain = Math.fround(10 ** ((options.level - 10 * Math.log10(power)) / 20));
  const speech = centred.subarray(start, stop).map((value) => value * gain);
  return padded(speech, Math.round(options.shortest * rate));
}

/** With zeros at the end, where it is shorter. */
export function padded(samples, least) {
  return samples.length < least ? joined([samples, new Float32Array(least - samples.length)]) : samples;
}

function mean64(samples) {
  let total = 0;
  for (const value of samples) total += value;
  return total / samples.length;
}

