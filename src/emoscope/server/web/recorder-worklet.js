// Hands the microphone's samples to the page in pieces of 2048.

registerProcessor("recorder", class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = new Float32Array(2048);
    this.filled = 0;
  }

  process([[channel]]) {
    if (!channel) return true;
    for (let i = 0; i < channel.length; i++) {
      this.samples[this.filled++] = channel[i];
      if (this.filled === this.samples.length) {
        this.port.postMessage(this.samples.slice());
        this.filled = 0;
      }
    }
    return true;
  }
});
