// Recording through the microphone, lossless: samples come from an audio worklet, as they are.

import { wav } from "./sound.js";

const MAX_SECONDS = 30 * 60; // seconds
const FORM_BYTES = 100_000; // bytes: the form, the header, and pieces that come after the end

export class Recorder {
  /**
   * @param bytes the largest upload that the server takes
   * @param onLevel called with the peak of every few milliseconds and the seconds so far
   */
  constructor(bytes, onLevel) {
    Object.assign(this, { bytes, onLevel });
    this.pieces = [];
    this.count = 0;
  }

  /** Ask for the microphone and begin. Throws what getUserMedia throws. */
  async start() {
    if (!navigator.mediaDevices) {
      throw new DOMException("no microphone access on an insecure page", "SecurityError");
    }
    // The browser's own processing is made for calls: it changes exactly what is to be heard here.
    this.stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 },
    });
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule("/web/recorder-worklet.js");
    const node = new AudioWorkletNode(this.context, "recorder", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => this.take(data);
    this.context.createMediaStreamSource(this.stream).connect(node);
    await this.context.resume();
  }

  /** Seconds that can be recorded: 16 bits a sample have to fit into one upload. */
  get longest() {
    return Math.min(MAX_SECONDS, Math.floor((this.bytes - FORM_BYTES) / (2 * this.context.sampleRate)));
  }

  take(samples) {
    this.pieces.push(samples);
    this.count += samples.length;
    let peak = 0;
    for (const value of samples) peak = Math.max(peak, Math.abs(value));
    this.onLevel(peak, this.count / this.context.sampleRate);
  }

  /** End and give back the recording as a WAV file. */
  async stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    const rate = this.context?.sampleRate ?? 48000;
    await this.context?.close();
    const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
    return new File([wav(this.pieces, rate)], `recording ${time}.wav`, { type: "audio/wav" });
  }
}

/** The reason why a microphone could not be used, in words. */
export function microphoneProblem(error) {
  const reasons = {
    NotAllowedError: "The browser blocked the microphone. Allow it in the address bar, then press Record again.",
    NotFoundError: "No microphone was found. Connect one, or choose a recording instead.",
    NotReadableError: "Another program is using the microphone. Close it, then press Record again.",
    SecurityError: "Browsers allow microphones only at localhost or over HTTPS. Open this page there, or choose a recording.",
  };
  return reasons[error.name] ?? `The microphone cannot be used: ${error.message}`;
}
