/** A part of a recording, in seconds; without probabilities nobody speaks. */
export interface Segment {
  start: number;
  end: number;
  emotion: string;
  confidence: number;
  probabilities: Record<string, number>;
  arousal?: number;
  valence?: number;
}

/** What was recognised in a recording, or in one of its channels. */
export interface Prediction extends Omit<Segment, "start" | "end"> {
  file: string;
  channel?: string;
  uncertain: boolean;
  warnings: string[];
  segments: Segment[];
  about: { model: string; licence: string; commercial_use: string; meaning: string };
}

/** Where a stream stands; the level is in dBFS. */
export interface Update {
  seconds: number;
  level: number;
  speaking: boolean;
  emotion: string | null;
  probabilities: Record<string, number>;
}

export interface ClassifyOptions {
  /** Of samples, in Hz. */
  rate?: number;
  /** As `file` of the prediction; by default that of the file. */
  name?: string;
  /** Whether to divide the recording into segments; by default yes. */
  timeline?: boolean;
  /** "left", "right", "1", "2" …, or "mix"; by default each of two channels with different speech. */
  channel?: string;
  /** Seconds; a longer recording is refused. */
  most?: number;
  signal?: AbortSignal;
  progress?: (fraction: number, predictions: Prediction[] | null) => void;
}

/** Labels of sound while it arrives. */
export interface Live {
  /** Null once it is cancelled. */
  push(samples: Float32Array): Promise<Update | null>;
  finish(name?: string): Promise<Prediction>;
  cancel(): void;
}

export interface Recogniser {
  readonly ready: Promise<void>;
  models(): object[];
  classify(recording: Blob | Float32Array | Float32Array[], options?: ClassifyOptions): Promise<Prediction[]>;
  together(predictions: Prediction[]): Prediction[];
  stream(options: { rate: number; update?: (update: Update) => void }): Live;
  close(): void;
}

export function load(
  url: string | URL,
  options?: { progress?: (loaded: number, total: number) => void; threads?: number },
): Promise<Recogniser>;
