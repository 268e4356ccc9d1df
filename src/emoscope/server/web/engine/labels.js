// How a label is decided and what is said of it: emoscope.prediction.prediction. Answers are those of the server.

import { argmax, fill, round, sum } from "./numbers.js";
import { Offsets } from "./offsets.js";

export class Labels {
  /** @param settings what `emoscope export --web` has written of a model */
  constructor({ card, constants, about }) {
    Object.assign(this, { card, constants, about, said: constants.prediction });
    this.offsets = card.offsets && new Offsets(card.offsets, card.temperature, constants.offsets);
  }

  /** The prediction of a recording, from a row of probabilities. */
  decide(file, probabilities, warnings, segments = [], channel = "") {
    const { card } = this, best = argmax(probabilities);
    return {
      file,
      ...(channel ? { channel } : {}),
      emotion: card.emotions[best],
      ...this.rounded(probabilities[best], probabilities),
      uncertain: this.doubted(probabilities[best], warnings),
      warnings,
      segments: segments.map(({ start, end, emotion, confidence, probabilities: row, uncertain = false, warnings: own = [] }) => ({
        start: round(start, 3), end: round(end, 3), speaker: row ? channel : "", emotion, ...this.rounded(confidence, row),
        uncertain, warnings: own })),
      about: this.about,
    };
  }

  /** Whether a label is below the card's threshold, of no speech, or of unfamiliar sound. */
  doubted(confidence, warnings) {
    const { threshold, coverage } = this.card.uncertain;
    const inDoubt = warnings.some((text) => this.said._IN_DOUBT.some((keyword) => text.startsWith(keyword)));
    return inDoubt || confidence < threshold || !coverage;
  }

  rounded(confidence, probabilities) {
    const { card: { emotions }, constants: { labels } } = this, row = probabilities ?? [];
    const entries = row.map((p, n) => [emotions[n], round(p, 6)]);
    const known = row.length && emotions.every((emotion) => emotion in labels.POSITIONS);
    const position = known ? labels.AXES.map((axis, n) => (
      [axis, round(sum(row.map((p, e) => p * labels.POSITIONS[emotions[e]][n])), 6)])) : [];
    return { confidence: round(confidence, 6), probabilities: Object.fromEntries(entries), ...Object.fromEntries(position) };
  }

  /** A warning where one label for everything would say little. */
  mixed(segments) {
    const lengths = new Map(), { said } = this;
    for (const { emotion, start, end, probabilities } of segments) {
      if (probabilities) lengths.set(emotion, (lengths.get(emotion) ?? 0) + end - start);
    }
    const ranked = [...lengths].sort((a, b) => b[1] - a[1]), total = sum([...lengths.values()]);
    if (!ranked.length || ranked[0][1] >= said.MIXED_SHARE * total) return [];
    const shares = ranked.map(([emotion, length]) => fill("{emotion} {share:.0%}", { emotion, share: length / total }));
    return [fill(said.MIXED, { shares: shares.join(", ") })];
  }

  /** A warning where a recording lies far from the training data, as a multiple of the limit. */
  unfamiliar(distance) {
    if (distance <= 1) return [];
    return [fill(this.said.UNFAMILIAR, { far: distance < 1.05 ? this.said.SLIGHTLY_FAR : fill(this.said.FAR, { distance }) })];
  }

  /** Predictions of recordings of one source, each { prediction, logits, isOne }, which says whether it counts. */
  together(found) {
    const known = found.filter(({ isOne }) => isOne), count = known.length;
    if (!this.offsets || count < 2) return found.map(({ prediction }) => prediction);
    const source = this.offsets.learn(known.map(({ logits }) => logits));
    const said = fill(this.said.LABELLED_TOGETHER, { count });
    return found.map(({ prediction: alone, logits, isOne }) => (isOne
      ? this.decide(alone.file, source.probabilities(logits), [...alone.warnings, said], [], alone.channel) : alone));
  }
}
