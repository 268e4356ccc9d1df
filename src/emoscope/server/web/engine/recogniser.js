// The way of a recording to its label, from top to bottom: emoscope.prediction.predictor. Runs in a worker.

import { Known } from "./known.js";
import { Labels } from "./labels.js";
import { argmax, fill, joined, percentile, softmax, sum } from "./numbers.js";
import { ChannelMeter, Quality, padded, trimAndNormalise } from "./quality.js";
import { resample } from "./resample.js";
import { Stream, average } from "./timeline.js";
import { speechProbabilities } from "./voice.js";

const PARTIAL = 1500; // ms between two predictions of what is analysed so far
const breathe = () => new Promise((done) => setTimeout(done)); // so that a message to the worker can arrive

/** Throw what makes a recording unusable. */
export function fail(text, values = {}) {
  throw new Error(fill(text, values));
}

export class Recogniser extends Labels {
  /** @param runtime onnxruntime-web; `graphs` its sessions of the model and of the detector; `known` Uint32 words */
  constructor(settings, runtime, graphs, known) {
    super(settings);
    Object.assign(this, { runtime, graphs });
    this.known = known && new Known(known, settings.known, this.constants);
  }

  /** Run the detector on frames with their contexts. */
  async detect(input, count, state) {
    const { Tensor } = this.runtime, [, , width] = this.constants.voice_activity._STATE;
    const [h, c] = state ?? [0, 1].map(() => new Tensor("float32", new Float32Array(width), [1, 1, width]));
    const feeds = { input: new Tensor("float32", input, [count, input.length / count]), h, c };
    const { speech_probs: speech, hn, cn } = await this.graphs.detector.run(feeds);
    return { speech: speech.data, state: [hn, cn] };
  }

  /** Logits, calibrated probabilities, and distance from the training data of sound at the model's rate. */
  async infer(samples) {
    const { card: { input, domain, temperature }, constants, runtime: { Tensor } } = this;
    let given = input.preprocess ? trimAndNormalise(samples, input.rate, input.preprocess, constants) : samples;
    given = padded(given, Math.round(input.shortest * input.rate));
    const feeds = { samples: new Tensor("float32", given, [1, given.length]) };
    const begun = performance.now(), { logits, embedding } = await this.graphs.model.run(feeds);
    this.pace = (performance.now() - begun) / 1000; // seconds that a window takes
    const distance = domain ? distanceOf(embedding.data, domain) / domain.threshold : 0;
    return { logits: Array.from(logits.data), probabilities: softmax(logits.data, temperature), distance };
  }

  /** Recognitions of a source, { prediction, logits, isOne }: one, or one for each of two channels. */
  async recognise(source, name, { channel, ...options } = {}) {
    const { predictor, prediction: said } = this.constants;
    const chosen = channelOf(channel), meter = channel ? null : new ChannelMeter(this);
    const whole = await this.one(source, name, { ...options, meter, channel: chosen });
    if (meter?.count > 2) whole.prediction.warnings.unshift(fill(predictor.MANY_CHANNELS, { count: meter.count }));
    if (!meter?.differ) return [whole];
    const each = [];
    for (const side of [0, 1]) {
      const found = await this.one(source, name, { ...options, channel: side });
      found.prediction.warnings.unshift(fill(said.ONE_OF_TWO, { channel: found.prediction.channel }));
      each.push({ ...found, isOne: false });
    }
    return each;
  }

  /** The recognition of one channel, or of the mix. */
  async one(source, name, { timeline, channel = null, meter = null, progress = () => {}, alive = () => {} }) {
    const { predictor, audio } = this.constants, checks = new Checks(this.constants, channel, source.most);
    const limit = Math.min(predictor.UTTERANCE_SECONDS, this.card.input.longest), beginning = [];
    let seconds = 0, stream = null, rate = 0, notes = [], told = 0;
    const label = channel === null ? "" : ["left", "right"][channel] ?? String(channel + 1);
    const feed = async (mono) => {
      stream.quality.feed(mono, rate);
      for (let at = 0; at < mono.length; at += 2 * rate) {
        await stream.take(mono.subarray(at, at + 2 * rate));
        const done = Math.min(1, (stream.fed += Math.min(2 * rate, mono.length - at)) / rate / source.seconds);
        const due = performance.now() - told > PARTIAL && stream.windows.length > 1;
        if (due) told = performance.now();
        progress(done, due ? [this.ofStream(stream, name, true, label).prediction] : null);
        await breathe();
        alive();
      }
    };
    for await (const block of source.blocks()) {
      ({ rate, notes } = block);
      if (rate < audio.MIN_RATE || rate > audio.MAX_RATE) fail(audio.WRONG_RATE, { rate, least: audio.MIN_RATE, most: audio.MAX_RATE });
      const mono = checks.take(block);
      await meter?.feed(block.channels, rate);
      alive();
      seconds += mono.length / rate;
      if (!stream && seconds > limit) {
        stream = Object.assign(new Stream(this, rate), { fed: 0 });
        for (const earlier of beginning) await feed(earlier);
      }
      if (stream) await feed(mono);
      else beginning.push(mono);
    }
    checks.end(rate);
    if (stream) {
      await stream.take(new Float32Array(0), true);
      if (!stream.windows.length) stream.whole = await this.infer(stream.samples.slice(-Math.round(stream.length * stream.modelRate)));
    }
    const found = stream ? this.ofStream(stream, name, timeline, label) : await this.utterance(beginning, rate, name, timeline, label);
    found.prediction.warnings.unshift(...notes);
    return found;
  }

  async utterance(blocks, rate, name, timeline, label) {
    const { card, constants: { voice_activity: { RATE } } } = this, samples = joined(blocks);
    const quality = new Quality(this.constants);
    quality.feed(samples, rate);
    const forModel = resample(samples, rate, card.input.rate);
    const forDetector = card.input.rate === RATE ? forModel : resample(samples, rate, RATE);
    quality.feedFrames(await speechProbabilities(this, forDetector));
    const inference = await this.infer(forModel), { logits, probabilities, distance } = inference;
    const warnings = [...quality.warnings(), ...this.unfamiliar(distance), ...(this.known?.warnings(forDetector) ?? [])];
    const segments = timeline ? await this.segmentsOf(blocks, rate, inference) : [], spoken = segments.filter((s) => s.probabilities);
    if (spoken.length === 1) { // has the label of the whole
      const best = argmax(probabilities);
      const label = { emotion: card.emotions[best], confidence: probabilities[best], probabilities, warnings: [...warnings] };
      Object.assign(spoken[0], label, { uncertain: this.doubted(label.confidence, warnings) });
    }
    const isOne = !warnings.some((text) => this.said.NO_SPEECH.some((keyword) => text.startsWith(keyword)));
    return { prediction: this.decide(name, probabilities, warnings, segments, label), logits, isOne };
  }

  /** Segments of an utterance; where there is one window, the model has heard it as the whole. */
  async segmentsOf(blocks, rate, whole) {
    const pieces = [], later = { value: async (piece) => pieces.push(piece) };
    const stream = new Stream(Object.create(this, { infer: later }), rate);
    for (const block of blocks) await stream.feed(block);
    await stream.take(new Float32Array(0), true);
    for (const [n, window] of stream.windows.entries()) {
      window.inference = stream.windows.length === 1 ? whole : await this.infer(pieces[n]);
    }
    return this.segments(stream);
  }

  /** A stream's segments, each with its own doubts, by the rule for a recording. */
  segments(stream) {
    return stream.segments().map((part) => {
      if (!part.probabilities) return part;
      const over = stream.windows.filter(({ start, end }) => start <= part.end && end >= part.start);
      const distance = percentile(over.map(({ inference }) => inference.distance), 50);
      const warnings = [...stream.quality.part(part.start, part.end).warnings(), ...this.unfamiliar(distance)];
      return { ...part, uncertain: this.doubted(part.confidence, warnings), warnings };
    });
  }

  /** Of a stream, by the mean over the speech; without speech by the last window of sound, `whole`. */
  ofStream(stream, name, timeline, label = "") {
    const segments = this.segments(stream), spoken = segments.filter(({ probabilities }) => probabilities);
    const inferences = stream.windows.length ? stream.windows.map(({ inference }) => inference) : [stream.whole];
    const rows = spoken.map(({ probabilities }) => probabilities), lengths = spoken.map(({ start, end }) => end - start);
    const probabilities = spoken.length ? average(rows, lengths) : inferences[0].probabilities;
    const distance = percentile(inferences.map((one) => one.distance), 50);
    const warnings = [...stream.quality.warnings(), ...this.mixed(segments), ...this.unfamiliar(distance)];
    const prediction = this.decide(name, probabilities, warnings, timeline ? segments : [], label);
    return { prediction, logits: average(inferences.map(({ logits }) => logits), inferences.map(() => 1)), isOne: false };
  }

  /** Live labels of samples as they arrive: emoscope.prediction.microphone. */
  live(rate) {
    const { WINDOWS, TOGETHER, SMOOTHING, PAUSE_SECONDS } = this.constants.microphone, { emotions } = this.card;
    const stream = new Stream(this, rate, WINDOWS), checks = new Checks(this.constants, null);
    let smooth = null, last = 0;
    const feed = async (samples) => {
      if (samples.length) checks.take({ channels: [samples], rate });
      stream.live = Math.max(WINDOWS.live, 2 * (this.pace ?? 0)); // what is slow shows fewer labels
      const fresh = await stream.feed(samples);
      for (const { inference: { probabilities } } of fresh.length ? stream.newest(TOGETHER).slice(-fresh.length) : []) {
        smooth = smooth ? smooth.map((p, n) => p + SMOOTHING * (probabilities[n] - p)) : probabilities;
        last = stream.seconds;
      }
      const { seconds, speaking } = stream;
      if (seconds - last > PAUSE_SECONDS && !speaking) smooth = null;
      const level = 10 * Math.log10(sum(Array.from(samples, (value) => value * value)) / samples.length + 1e-12);
      const probabilities = Object.fromEntries((smooth ?? []).map((p, n) => [emotions[n], p]));
      return { seconds, level, speaking, emotion: smooth ? emotions[argmax(smooth)] : null, probabilities };
    };
    const finish = async (name) => {
      await stream.take(new Float32Array(0), true);
      if (!stream.seconds) throw new Error("nothing was heard");
      checks.end(rate);
      if (!stream.windows.length) stream.whole = await this.infer(stream.samples.slice(-Math.round(stream.length * stream.modelRate)));
      return this.ofStream(stream, name, true);
    };
    return { feed, finish };
  }
}

/** The number of a channel that is called left, right, 1, 2 …; null for all of them, mixed. */
function channelOf(name = "") {
  const number = { left: 0, right: 1, mix: null, "": null }[name];
  return number === undefined ? Number(name) - 1 : number;
}

/** Mahalanobis distance over the root of the width: emoscope.modelfile.card.OutOfDomainDetector. */
function distanceOf(embedding, { mean, components, variances, residual }) {
  const centred = Array.from(embedding, (value, n) => value - mean[n]), width = centred.length;
  let squared = 0, outside = sum(centred.map((value) => value * value));
  for (let rank = 0; rank < variances.length; rank++) {
    let along = 0;
    for (let n = 0; n < width; n++) along += centred[n] * components[rank * width + n];
    squared += (along * along) / variances[rank];
    outside -= along * along;
  }
  return Math.sqrt((squared + Math.max(0, outside) / residual) / width);
}

/** Mixes samples down to mono and tells what makes them unusable: emoscope.audio.excerpt.Checks. */
class Checks {
  constructor({ excerpt }, channel, most = Infinity) {
    Object.assign(this, { said: excerpt, channel, most, count: 0, channels: 1, low: Infinity, high: -Infinity, mixed: 0, each: 0 });
  }

  take({ channels, rate }) {
    const { said, channel } = this;
    this.channels = channels.length;
    this.count += channels[0].length;
    if (this.count > this.most * rate) fail(said.TOO_LONG, { limit: this.most });
    if (channel >= channels.length) {
      const there = channels.length === 1 ? "one channel" : `${channels.length} channels`;
      fail(said.NO_CHANNEL, { asked: ["left", "right"][channel] ?? channel + 1, there });
    }
    const mono = channel !== null ? channels[channel] : channels.length === 1 ? channels[0]
      : channels[0].map((_, i) => channels.reduce((total, side) => Math.fround(total + side[i]), 0) / channels.length);
    let low = Infinity, high = -Infinity, sound = true;
    for (const value of mono) {
      if (value < low) low = value;
      if (value > high) high = value;
      sound &&= Number.isFinite(value);
    }
    if (!sound) fail(said.NOT_NUMBERS);
    const peak = Math.max(-low, high);
    if (peak > said._MAX_PEAK) fail(said.OUT_OF_RANGE, { peak });
    [this.low, this.high] = [Math.min(this.low, low), Math.max(this.high, high)];
    if (channels.length === 2 && channel === null) {
      for (let i = 0; i < mono.length; i++) {
        this.mixed += mono[i] ** 2;
        this.each += (channels[0][i] ** 2 + channels[1][i] ** 2) / 2;
      }
    }
    return mono;
  }

  end(rate) {
    const { said, count } = this;
    if (!count) fail(said.EMPTY);
    if (count < said._MIN_SECONDS * rate) fail(said.TOO_SHORT, { length: (1000 * count) / rate });
    if (this.mixed < said._CANCELLED * this.each) fail(said.CANCELLED);
    if (this.high - this.low <= said._SILENCE) fail(said.SILENT);
  }
}
