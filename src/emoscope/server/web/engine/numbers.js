// Numbers and texts as Python makes them: rounding, format specifications, percentiles.

/** Round half to even in decimals, as Python does: of what lies exactly in the middle toFixed takes the larger. */
export function round(value, digits) {
  const doubled = value * 2 ** (digits + 1); // an odd integer where it lies in the middle
  const even = Math.floor(value * 10 ** digits);
  if (Number.isInteger(doubled) && doubled % 2) return (even % 2 ? even + 1 : even) / 10 ** digits;
  return Number(value.toFixed(digits));
}

const fixed = (value, digits) => round(value, digits).toFixed(digits);

/** Fill the places of a text, such as {seconds:.2f}, as str.format does. */
export function fill(text, values) {
  return text.replace(/\{(\w+)(?::\.?(\d*)([fg%]))?\}/g, (_, name, digits, kind) => {
    const value = values[name];
    if (kind === "f") return fixed(value, Number(digits));
    if (kind === "%") return `${fixed(100 * value, Number(digits))}%`;
    if (kind === "g") return String(Number(value.toPrecision(Number(digits) || 6)));
    return String(value);
  });
}

export const sum = (values) => values.reduce((total, value) => total + value, 0);
export const mean = (values) => sum(values) / values.length;

/** The first place of the largest value. */
export const argmax = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

/** With linear interpolation, as NumPy. */
export function percentile(values, share) {
  const sorted = Float64Array.from(values).sort(), at = (share / 100) * (sorted.length - 1);
  const low = Math.floor(at), high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

/** One array of several. */
export function joined(parts) {
  const whole = new Float32Array(sum(parts.map((part) => part.length)));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** A row of logits as probabilities. */
export function softmax(logits, temperature = 1) {
  const most = Math.max(...logits);
  const weights = Array.from(logits, (value) => Math.exp((value - most) / temperature));
  const total = sum(weights);
  return weights.map((weight) => weight / total);
}
