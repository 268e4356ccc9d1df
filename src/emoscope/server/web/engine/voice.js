// Where in a recording somebody speaks: emoscope.audio.voice_activity. Frames are { speech, level }, arrays of 32 ms.

import { joined, mean, percentile } from "./numbers.js";
import { Resampler } from "./resample.js";

const add = (a, b) => ({ speech: joined([a.speech, b.speech]), level: joined([a.level, b.level]) });
const slice = ({ speech, level }, from, to) => ({ speech: speech.slice(from, to), level: level.slice(from, to) });
export const NO_FRAMES = { speech: new Float32Array(0), level: new Float32Array(0) };

/** Silero's detector on consecutive frames; `run` runs its graph. */
export class Detector {
  constructor(model) {
    Object.assign(this, { model, rest: new Float32Array(0), context: null, state: null });
  }

  async feed(samples, last = false) {
    const { FRAME, _CONTEXT: CONTEXT } = this.model.constants.voice_activity, width = CONTEXT + FRAME;
    let all = joined([this.rest, samples]);
    if (last && all.length % FRAME) all = joined([all, new Float32Array(FRAME - (all.length % FRAME))]);
    const count = Math.floor(all.length / FRAME);
    this.rest = all.slice(count * FRAME);
    if (!count) return NO_FRAMES;
    const input = new Float32Array(count * width), level = new Float32Array(count);
    for (let n = 0; n < count; n++) {
      const frame = all.subarray(n * FRAME, (n + 1) * FRAME);
      input.set(n ? all.subarray(n * FRAME - CONTEXT, n * FRAME) : this.context ?? new Float32Array(CONTEXT), n * width);
      input.set(frame, n * width + CONTEXT);
      let power = 0;
      for (const value of frame) power += value * value;
      level[n] = 10 * Math.log10(power / FRAME + this.model.constants.level.FLOOR);
    }
    this.context = all.slice(count * FRAME - CONTEXT, count * FRAME);
    const found = await this.model.detect(input, count, this.state);
    this.state = found.state;
    return { speech: found.speech, level };
  }
}

/** The same, and on the sound slowed down, for screams and laughter; the higher probability counts. */
export class VoiceActivity {
  constructor(model) {
    const { RATE, SLOWER } = model.constants.voice_activity;
    Object.assign(this, { slower: SLOWER, plain: new Detector(model), slowed: new Detector(model) });
    this.slowDown = new Resampler(RATE, Math.round(RATE * SLOWER), "QQ");
    Object.assign(this, { waiting: NO_FRAMES, slow: new Float32Array(0), frame: 0, slowStart: 0 });
  }

  async feed(samples, last = false) {
    const slowed = await this.slowed.feed(this.slowDown.feed(samples, last), last);
    this.slow = joined([this.slow, slowed.speech]);
    this.waiting = add(this.waiting, await this.plain.feed(samples, last));
    const middle = (n) => {
      const place = Math.floor((this.frame + n + 0.5) * this.slower) - this.slowStart;
      return last && this.slow.length ? Math.min(place, this.slow.length - 1) : place;
    };
    const { speech } = this.waiting;
    let ready = 0;
    while (ready < speech.length && middle(ready) < this.slow.length) ready++;
    const decided = slice(this.waiting, 0, ready);
    decided.speech = decided.speech.map((value, n) => Math.max(value, this.slow[middle(n)]));
    this.waiting = slice(this.waiting, ready);
    this.frame += ready;
    const used = Math.floor(this.frame * this.slower) - this.slowStart;
    this.slow = this.slow.slice(used);
    this.slowStart += used;
    return decided;
  }
}

/** Frames of a short recording. */
export async function speechProbabilities(model, samples) {
  const frames = await new Detector(model).feed(samples, true);
  const least = percentile(frames.level, 97) - 25;
  const loud = Array.from(frames.speech).filter((_, n) => frames.level[n] > least);
  return mean(loud.map((value) => Number(value >= 0.5))) > 0.5 ? frames : new VoiceActivity(model).feed(samples, true);
}

/** Turns probabilities of speech into segments [first, stop] as they arrive, counted in frames. */
export class SpeechTracker {
  constructor({ voice_activity }) {
    Object.assign(this, { limits: voice_activity, start: null, frames: 0, speechEnd: 0, first: 0, lastStop: 0 });
  }

  feed(probability) {
    const { THRESHOLD, NEG_THRESHOLD, MIN_SILENCE, PAD } = this.limits, frame = this.frames++;
    if (this.start === null) {
      if (probability >= THRESHOLD) {
        [this.start, this.speechEnd, this.first] = [Math.max(this.lastStop, frame - PAD), frame + 1, frame];
      }
    } else if (probability >= NEG_THRESHOLD) this.speechEnd = frame + 1;
    else if (frame - this.speechEnd >= MIN_SILENCE) return this.finish();
    return null;
  }

  finish() {
    if (this.start === null) return null;
    const segment = [this.start, Math.min(this.frames, this.speechEnd + this.limits.PAD)];
    this.start = null;
    if (this.speechEnd - this.first < this.limits.MIN_SPEECH) return null;
    return [segment[0], (this.lastStop = segment[1])];
  }
}
