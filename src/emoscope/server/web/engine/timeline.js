// Emotion over time, of sound as it arrives: emoscope.prediction.timeline. Times are seconds from the start.

import { argmax, joined, mean, percentile, sum } from "./numbers.js";
import { Quality } from "./quality.js";
import { Resampler } from "./resample.js";
import { SpeechTracker, VoiceActivity } from "./voice.js";

/** Finds the speech in samples fed piece by piece, and infers its emotion from a window that slides over it. */
export class Stream {
  constructor(model, rate, { length = 3, hop = 1, live = null } = {}) {
    const { constants, card } = model, { RATE } = constants.voice_activity;
    Object.assign(this, { model, rate, hop, live, detectorRate: RATE, modelRate: card.input.rate });
    this.length = Math.min(length, card.input.longest);
    this.quality = new Quality(constants);
    this.toModel = new Resampler(rate, this.modelRate);
    this.toDetector = this.modelRate === RATE ? null : new Resampler(rate, RATE);
    this.detector = new VoiceActivity(model);
    this.tracker = new SpeechTracker(constants);
    Object.assign(this, { windows: [], shown: [], speech: [], samples: new Float32Array(0), dropped: 0 });
    this.covered = this.displayed = null; // ends of the last window of this speech, and of the last for display
  }

  get seconds() {
    return this.quality.seconds;
  }

  get speaking() {
    return this.tracker.start !== null;
  }

  /** Take in the next samples; gives the windows now complete. */
  feed(samples) {
    this.quality.feed(samples, this.rate);
    return this.take(samples);
  }

  /** The same where the quality is measured elsewhere, or with `last` the end. */
  async take(samples, last = false) {
    const forModel = this.toModel.feed(samples, last);
    this.samples = joined([this.samples, forModel]);
    const forDetector = this.toDetector ? this.toDetector.feed(samples, last) : forModel;
    const frames = await this.detector.feed(forDetector, last);
    this.quality.feedFrames(frames);
    const spans = [];
    for (const probability of frames.speech) spans.push(...this.advance(this.tracker.feed(probability)));
    if (last) spans.push(...this.advance(this.tracker.finish()));
    const fresh = [];
    for (const [start, end, speech, lasts] of spans) {
      fresh.push({ start, end, speech, lasts, inference: await this.model.infer(this.piece(start, end)) });
    }
    this.shown.push(...fresh);
    this.windows.push(...fresh.filter(({ lasts }) => lasts)); // the others are for display alone
    this.forget();
    return fresh;
  }

  /** Windows that the newest frame completed. */
  * advance(ended) {
    const { length, hop, live, tracker } = this, second = this.quality.frameSeconds, number = this.speech.length;
    if (ended) {
      const [start, end] = ended.map((frame) => frame * second);
      this.speech.push([start, end]);
      if (this.covered === null || end - this.covered > hop / 2) yield [Math.max(start, end - length), end, number, true];
    }
    if (tracker.start === null) {
      this.covered = this.displayed = null;
      return;
    }
    const start = tracker.start * second, spoken = tracker.speechEnd * second;
    const due = this.covered === null ? start + length : this.covered + hop;
    if (spoken >= due) {
      this.covered = this.displayed = due;
      yield [Math.max(start, due - length), due, number, true];
    } else if (live) {
      const soon = this.displayed === null ? start + 2 * live : this.displayed + live;
      if (spoken < soon) return;
      this.displayed = soon;
      yield [Math.max(start, soon - length), soon, number, false];
    }
  }

  piece(start, end) {
    const [first, stop] = [start, end].map((time) => Math.round(time * this.modelRate) - this.dropped);
    return this.samples.slice(Math.max(0, first), Math.max(0, stop));
  }

  /** Drop samples that no window can ask for any more. */
  forget() {
    const { MIN_SILENCE, PAD } = this.model.constants.voice_activity, second = this.quality.frameSeconds;
    const needed = this.length + this.hop + (MIN_SILENCE + 2 * PAD + 1) * second;
    const surplus = Math.round((this.tracker.frames * second - needed) * this.modelRate) - this.dropped;
    if (surplus <= 0) return;
    this.samples = this.samples.slice(surplus);
    this.dropped += surplus;
  }

  /** The newest windows, also those for display alone, labelled together. */
  newest(count) {
    return this.together(this.shown.slice(-count), this.live ?? this.hop);
  }

  together(windows, hop) {
    const { offsets } = this.model, overlap = this.length / hop;
    if (!offsets || windows.length < 2 * overlap) return windows;
    const logits = windows.map(({ inference }) => inference.logits), source = offsets.learn(logits, overlap);
    return windows.map((window, n) => (
      { ...window, inference: { ...window.inference, probabilities: source.probabilities(logits[n]) } }));
  }

  /** The recording so far, divided without gaps. */
  segments() {
    const { model, hop, seconds, speech, quality } = this;
    return divide(this.together(this.windows, hop), speech, quality.frames, { model, hop, seconds });
  }
}

/** A segment: start, end, emotion, confidence, and a row of probabilities where somebody speaks. */
function divide(windows, speech, frames, { model, hop, seconds }) {
  const { timeline: limits, voice_activity: { FRAME_SECONDS: second } } = model.constants;
  const least = Math.min(-40, Math.max(-60, percentile(frames.level, 10) + 15));
  const sound = Array.from(frames.level, (value) => value > least), segments = [];
  let position = 0;
  const gap = (start, end) => {
    const [first, stop] = [start, end].map((time) => Math.round(time / second));
    const sounding = withoutShortRuns(sound.slice(first, stop), Math.round(limits.MIN_SOUND / second));
    if (end <= start || !sounding.length) return;
    for (const [a, b] of runs(sounding)) {
      segments.push({
        start: a ? (first + a) * second : start,
        end: b === sounding.length ? end : (first + b) * second,
        emotion: model.constants.prediction[sounding[a] ? "NON_SPEECH" : "SILENCE"],
        confidence: 1 - mean(frames.speech.subarray(first + a, first + b)),
        probabilities: null,
      });
    }
  };
  speech.forEach(([begin, end], number) => {
    const start = begin < limits.MIN_EDGE ? 0 : begin, stop = seconds - end < limits.MIN_EDGE ? seconds : end;
    gap(position, start);
    segments.push(...spoken(windows.filter((w) => w.speech === number), start, stop, hop, model));
    position = stop;
  });
  gap(position, seconds);
  return segments;
}

/** First place and one past the last of every run of equal values. */
function runs(values) {
  const edges = [0];
  for (let i = 1; i < values.length; i++) if (values[i] !== values[i - 1]) edges.push(i);
  return edges.map((edge, n) => [edge, edges[n + 1] ?? values.length]);
}

function withoutShortRuns(values, shortest) {
  const found = runs(values), settled = [...values];
  let current = values[found.find(([a, b]) => b - a >= shortest)?.[0]] ?? false;
  for (const [a, b] of values.length ? found : []) {
    if (b - a >= shortest) current = values[a];
    settled.fill(current, a, b);
  }
  return settled;
}

function spoken(windows, start, end, hop, model) {
  const stop = Math.max(end - hop / 2, start + 1e-6), edges = [];
  for (let n = 0; n < Math.ceil((stop - start) / hop); n++) edges.push(start + n * hop);
  edges.push(end);
  const cells = edges.slice(1).map((edge, n) => cell(windows, (edge + edges[n]) / 2));
  const path = viterbi(cells.map((row) => row.map((p) => Math.log(p + 1e-9))), model.constants.timeline.STAY);
  return runs(path).map(([a, b]) => {
    const lengths = cells.slice(a, b).map((_, n) => edges[a + n + 1] - edges[a + n]);
    const probabilities = average(cells.slice(a, b), lengths), best = argmax(probabilities);
    return { start: edges[a], end: edges[b], emotion: model.card.emotions[best], confidence: probabilities[best], probabilities };
  });
}

/** Mean probabilities of the windows over a cell, those centred on it counting most. */
function cell(windows, centre) {
  const nearness = ({ start, end }) => 1 - Math.abs((2 * (centre - start)) / (end - start) - 1);
  const rows = windows.map(({ inference }) => inference.probabilities);
  return average(rows, windows.map((window) => Math.max(nearness(window), 1e-3)));
}

/** The mean of rows, weighted. */
export function average(rows, weights) {
  const total = sum(weights);
  return rows[0].map((_, column) => sum(rows.map((row, n) => weights[n] * row[column])) / total);
}

/** Most probable path of a chain that stays in its state with the probability `stay`. */
export function viterbi(scores, stay) {
  const change = Math.log((1 - stay) / (scores[0].length - 1)), back = [];
  let total = scores[0];
  for (const row of scores.slice(1)) {
    const best = argmax(total), before = total;
    const moves = before.map((value) => before[best] + change > value + Math.log(stay));
    total = before.map((value, s) => (moves[s] ? before[best] + change : value + Math.log(stay)) + row[s]);
    back.push(moves.map((moved, s) => (moved ? best : s)));
  }
  const path = [argmax(total)];
  for (const from of back.reverse()) path.unshift(from[path[0]]);
  return path;
}
