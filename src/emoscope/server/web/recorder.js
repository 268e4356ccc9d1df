// Recording through the microphone, lossless: samples come from an audio worklet, as they are. An engine that
// labels while somebody speaks is given them too.

import { clock, coloured, make, percent } from "./parts.js";
import { wav } from "./sound.js";

const MAX_SECONDS = 30 * 60; // seconds
const FORM_BYTES = 100_000; // bytes: the form, the header, and pieces that come after the end

class Recorder {
  /**
   * @param bytes the largest file that the engine takes
   * @param onSound called with samples, their peak, and the seconds so far
   */
  constructor(bytes, onSound) {
    Object.assign(this, { bytes, onSound });
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
    await this.context.audioWorklet.addModule(new URL("recorder-worklet.js", import.meta.url));
    const node = new AudioWorkletNode(this.context, "recorder", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => this.take(data);
    this.context.createMediaStreamSource(this.stream).connect(node);
    await this.context.resume();
  }

  get rate() {
    return this.context.sampleRate;
  }

  /** Seconds that can be recorded: 16 bits a sample have to fit into one file. */
  get longest() {
    return Math.min(MAX_SECONDS, Math.floor((this.bytes - FORM_BYTES) / (2 * this.context.sampleRate)));
  }

  take(samples) {
    this.pieces.push(samples);
    this.count += samples.length;
    let peak = 0;
    for (const value of samples) peak = Math.max(peak, Math.abs(value));
    this.onSound(samples, peak, this.count / this.context.sampleRate);
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

/** Make the buttons of the page record, and hand over what was recorded. */
export function microphone(element, page, { predict, say, forgetProblems, pause }) {
  let recorder = null; // while recording
  let live = null; // labels while recording
  let informed = false; // in this visit; nothing is stored

  /** Show the notice once before the microphone opens. Tells whether to go on. */
  function inform() {
    const notice = element("notice");
    if (informed) return true;
    notice.returnValue = "";
    notice.showModal();
    return new Promise((done) => {
      notice.onclose = () => notice.open || done(informed = notice.returnValue === "agree");
    });
  }

  async function record() {
    if (!(await inform())) return;
    const button = element("record"), canvas = element("level"), levels = [];
    forgetProblems();
    button.disabled = true; // a second click would open the microphone twice
    const opened = new Recorder(page.engine?.limits.uploadBytes ?? Infinity, (samples, peak, seconds) => {
      levels.push(peak);
      drawLevels(canvas, levels);
      element("clock").textContent = clock(seconds);
      live?.push(samples).catch(() => {}); // the model may fail to load, which is said elsewhere
      if (seconds >= opened.longest) finish(true);
    });
    try {
      await opened.start();
    } catch (error) {
      page.problem(microphoneProblem(error));
      await opened.stop();
      button.disabled = false;
      button.focus();
      return;
    }
    button.disabled = false;
    recorder = opened;
    pause();
    element("clock").textContent = "0:00";
    element("choose").hidden = true;
    element("recording").hidden = false;
    element("stop").focus();
    const leaves = page.engine?.kind === "tab" ? "Recording" : "Recording. Nothing leaves this page";
    say(`${leaves} until you stop, or until ${clock(opened.longest)} is reached.`);
    element("heard").replaceChildren();
    const { rate } = opened;
    live = page.engine?.stream?.({ rate, update: (state) => recorder === opened && hear(element("heard"), state, page) });
  }

  async function finish(keep) {
    if (!recorder) return; // it has ended already
    const ended = recorder;
    recorder = null;
    live?.cancel(); // the recording is analysed as a file
    live = null;
    const file = await ended.stop();
    element("choose").hidden = false;
    element("recording").hidden = true;
    element("record").focus();
    say("");
    if (keep) await predict([file], true);
  }

  element("record").addEventListener("click", record);
  element("stop").addEventListener("click", () => finish(true));
  element("discard").addEventListener("click", () => finish(false));
}

/** Show the newest label of what is being said. */
function hear(place, { speaking, emotion, probabilities }, { models: [model] }) {
  const sure = probabilities[emotion] ?? 0, doubt = sure < (model?.uncertain.threshold ?? 0) ? "perhaps " : "";
  const text = emotion ? `${doubt}${emotion}, ${percent(sure)}` : "no speech yet";
  place.replaceChildren(coloured(make("span", "dot"), emotion), emotion && !speaking ? `${text} (pause)` : text);
}

function drawLevels(canvas, levels) {
  const pen = canvas.getContext("2d"), { width, height } = canvas;
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = getComputedStyle(canvas).getPropertyValue("--accent");
  levels.slice(-width / 5).forEach((peak, n) => {
    const size = Math.max(2, Math.min(1, Math.sqrt(peak)) * height);
    pen.fillRect(n * 5, (height - size) / 2, 3, size);
  });
}

/** The reason why a microphone could not be used, in words. */
function microphoneProblem(error) {
  const reasons = {
    NotAllowedError: "The browser blocked the microphone. Allow it in the address bar, then press Record again.",
    NotFoundError: "No microphone was found. Connect one, or choose a recording instead.",
    NotReadableError: "Another program is using the microphone. Close it, then press Record again.",
    SecurityError: "Browsers allow microphones only at localhost or over HTTPS. Open this page there, or choose a recording.",
  };
  return reasons[error.name] ?? `The microphone cannot be used: ${error.message}`;
}
