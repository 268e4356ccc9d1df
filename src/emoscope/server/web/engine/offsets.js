// What recordings of one source have in common, taken away from their logits: emoscope.models.offsets.

import { mean, softmax, sum } from "./numbers.js";

export class Offsets {
  /** @param prior of the model's card, `means` as rows and `precision` the inverse of its covariance, centred */
  constructor(prior, temperature, { ITERATIONS }) {
    Object.assign(this, { prior, temperature, iterations: ITERATIONS, means: prior.means.map(centred) });
  }

  /** Learn what a source adds to rows of logits; `overlap` says in how many of them any moment lies. */
  learn(rows, overlap = 1) {
    const { prior, temperature, means } = this, X = rows.map(centred), count = X.length / overlap;
    const average = columns(X);
    const wide = this.spread(X, average, count);
    const several = Math.min(1, Math.max(0, (wide - prior.low) / (prior.high - prior.low)));
    const gain = prior.gain / (prior.gain + 1 / count + prior.floor);
    let labels = X.map((row) => softmax(row, temperature)), offset = [];
    for (let n = 0; n < this.iterations; n++) {
      const shares = columns(labels);
      offset = average.map((value, k) => gain * (value - sum(shares.map((share, e) => share * means[e][k]))));
      labels = X.map((row) => softmax(row.map((value, k) => value - offset[k]), prior.temperature));
    }
    const common = softmax(average, temperature), { consensus } = prior;
    const probabilities = (row) => {
      const alone = softmax(row, temperature), apart = centred(row).map((value, k) => value - offset[k]);
      return softmax(apart, prior.temperature).map((p, k) => (
        several * p + (1 - several) * (consensus * common[k] + (1 - consensus) * alone[k])));
    };
    return { probabilities };
  }

  /** Variance of the rows, relative to that of clips of one source around their means. */
  spread(X, average, count) {
    const scatter = mean(X.map((row) => {
      const apart = row.map((value, k) => value - average[k]);
      return sum(apart.map((value, k) => value * sum(this.prior.precision[k].map((p, j) => p * apart[j]))));
    }));
    return ((scatter * count) / (count - 1)) / (average.length - 1);
  }
}

const columns = (rows) => rows[0].map((_, k) => mean(rows.map((row) => row[k])));

function centred(row) {
  const middle = mean(Array.from(row));
  return Array.from(row, (value) => value - middle);
}
