// Panel: plays a recording and draws it: ruler, waveform, spectrogram and the lanes of emotions under them.

import { drawLane, heightOf, isDense, lanesOf } from "./lanes.js";
import { clock, ending, icon, make, rgb } from "./parts.js";
import { RATE, between, decode, extremes, spectrogram, wav } from "./sound.js";

const RULER = 22; // CSS pixels
const DRAWN = 1800; // seconds: the samples of a longer recording would take too much memory
const UNDRAWN = "This recording is longer than half an hour, so its sound is not drawn.";
const UNKNOWN = "This browser cannot play or draw this recording. Its labels and times are valid.";
const NARROWEST = 0.5; // seconds that fill the width at the closest zoom
const PLAY = "M6 3.5v13l11-6.5z", PAUSE = "M5 4h4v12H5zM11 4h4v12h-4z";
const MINUS = "M4 9h12v2H4z", PLUS = "M9 4h2v5h5v2h-5v5H9v-5H4V9h5z";

export const playerPanel = (page) => new Player(page);

class Player {
  constructor(page) {
    this.page = page;
    this.audio = new Audio();
    [this.start, this.end, this.duration, this.samples, this.lanes] = [0, 1, 0, null, []];
    this.build();
    this.audio.addEventListener("play", () => this.follow());
    this.audio.addEventListener("pause", () => this.showState());
    this.audio.addEventListener("seeked", () => this.showPosition());
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  build() {
    const round = (id, label, shape, click) =>
      make("button", { id, class: "button round", type: "button", "aria-label": label, click }, icon(shape));
    this.play = round("play", "Play", PLAY, () => this.toggle());
    this.play.classList.add("main");
    this.time = make("span", { id: "time", class: "time" });
    this.zoomOut = round("zoom-out", "Zoom out", MINUS, () => this.zoom(2));
    this.zoomIn = round("zoom-in", "Zoom in", PLUS, () => this.zoom(0.5));
    this.canvas = make("canvas", {
      id: "picture", role: "img", "aria-label": "Waveform, spectrogram and emotions over time",
      click: (event) => this.click(event),
    });
    this.head = make("div", { id: "head", class: "head", "aria-hidden": "true" });
    this.seek = make("input", {
      id: "seek", type: "range", min: 0, max: 1, step: 0.01, value: 0, "aria-label": "Position in the recording",
      input: () => this.jump(Number(this.seek.value)),
    });
    this.note = make("p", { id: "silent-view", class: "note" });
    this.dense = make("p", { id: "dense-view", class: "note" });
    this.element = make("div", "player",
      make("div", "tools", this.play, this.time, make("span", "spring"), this.zoomOut, this.zoomIn),
      make("div", "view", this.canvas, this.head), this.seek, this.dense, this.note);
  }

  /** Show a recording, and again once it is decoded. */
  async show(entry) {
    this.entry = entry;
    this.chosen = null;
    this.note.textContent = "";
    this.load(entry.playable ?? null, entry.samples ?? null);
    if (entry.partial) return;
    entry.prepared ??= prepare(entry, this.page.engine);
    await entry.prepared;
    if (this.entry !== entry) return; // another one was picked meanwhile
    this.note.textContent = entry.samples ? "" : entry.playable ? UNDRAWN : UNKNOWN;
    if (this.samples !== entry.samples || !this.address) this.load(entry.playable, entry.samples);
  }

  /** Draw again what has other labels, or is longer by now. */
  async update(entry) {
    const whole = this.end >= this.duration;
    this.lanes = lanesOf(entry, this.page.entries);
    if (!entry.partial && !entry.prepared) return this.show(entry);
    this.duration = Math.max(this.duration, this.lastTime());
    if (whole) this.end = this.duration;
    this.draw();
  }

  /** Mark a segment and play it; null marks none. */
  choose(segment) {
    this.chosen = segment;
    this.draw();
    if (segment) this.playSegment(segment);
  }

  /** A playable blob (or null) and its samples (or null). */
  load(blob, samples) {
    this.pause();
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = blob && URL.createObjectURL(blob);
    if (this.address) this.audio.src = this.address;
    else this.audio.removeAttribute("src");
    this.samples = samples;
    this.peaks = samples && extremes(samples);
    this.lanes = lanesOf(this.entry, this.page.entries);
    this.duration = samples ? samples.length / RATE : this.lastTime();
    [this.start, this.end, this.stopAt] = [0, this.duration, null];
    this.seek.max = this.duration.toFixed(2);
    for (const control of [this.play, this.seek]) control.disabled = !this.address;
    this.showState();
    this.draw();
  }

  lastTime() {
    return Math.max(...this.lanes.map(({ segments }) => ending(segments))) || 1;
  }

  toggle() {
    this.stopAt = null;
    if (this.audio.paused) this.begin();
    else this.pause();
  }

  begin() {
    this.audio.play().catch((error) => {
      if (error.name !== "AbortError") throw error; // paused before the sound began
    });
  }

  pause() {
    this.audio.pause();
    this.stopAt = null;
  }

  /** Play one segment and stop at its end. */
  playSegment(segment) {
    if (!this.address) return;
    this.jump(segment.start);
    this.stopAt = segment.end;
    this.begin();
  }

  jump(time) {
    this.stopAt = null;
    this.audio.currentTime = Math.max(0, Math.min(time, this.duration));
    this.reveal(time);
    this.showPosition();
  }

  follow() {
    this.showState();
    const tick = () => {
      if (this.stopAt !== null && this.audio.currentTime >= this.stopAt) this.pause();
      this.reveal(this.audio.currentTime);
      this.showPosition();
      if (!this.audio.paused) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  zoom(factor) {
    const width = Math.min(this.duration, Math.max(NARROWEST, (this.end - this.start) * factor));
    const time = this.audio.currentTime;
    const centre = time >= this.start && time <= this.end ? time : (this.start + this.end) / 2;
    this.start = Math.max(0, Math.min(centre - width / 2, this.duration - width));
    this.end = this.start + width;
    this.draw();
  }

  /** Scroll so that a time is in view. */
  reveal(time) {
    const width = this.end - this.start;
    if ((time >= this.start && time <= this.end) || width >= this.duration) return;
    this.start = Math.max(0, Math.min(time - width * 0.1, this.duration - width));
    this.end = this.start + width;
    this.draw();
  }

  /** Show one part, and go to its beginning. */
  view(start, end) {
    this.start = Math.max(0, Math.min(start, this.duration - NARROWEST));
    this.end = Math.min(this.duration, end);
    if (this.address) this.jump(start);
    this.draw();
  }

  click(event) {
    const box = this.canvas.getBoundingClientRect();
    const time = this.start + ((event.clientX - box.left) / box.width) * (this.end - this.start);
    let top = box.height - this.lanes.reduce((sum, lane) => sum + heightOf(lane), 0);
    const lane = this.lanes.find((each) => event.clientY - box.top > top
      && event.clientY - box.top <= (top += heightOf(each)));
    const segment = lane?.segments.find((s) => time >= s.start && time < s.end);
    if (lane && this.isDense && this.end - this.start > 60) this.page.view(60 * Math.floor(time / 60));
    else if (segment) this.page.choose(segment, lane.entry);
    else if (this.address) this.jump(time);
  }

  showState() {
    const playing = !this.audio.paused;
    this.play.setAttribute("aria-label", playing ? "Pause" : "Play");
    this.play.replaceChildren(icon(playing ? PAUSE : PLAY));
    this.zoomIn.disabled = this.end - this.start <= NARROWEST;
    this.zoomOut.disabled = this.end - this.start >= this.duration;
    this.showPosition();
  }

  showPosition() {
    const time = this.address ? this.audio.currentTime : 0;
    this.time.textContent = `${clock(time, 1)} / ${clock(this.duration, 1)}`;
    this.seek.value = time;
    this.seek.setAttribute("aria-valuetext", `${clock(time, 1)} of ${clock(this.duration, 1)}`);
    const x = ((time - this.start) / (this.end - this.start)) * this.canvas.clientWidth;
    this.head.style.transform = `translateX(${x}px)`;
    this.page.at(time);
  }

  draw() {
    const lanes = this.lanes.reduce((sum, lane) => sum + heightOf(lane), 0);
    this.canvas.style.height = this.samples ? `calc(var(--sound) + ${lanes}px)` : `${RULER + lanes}px`;
    const box = this.canvas.getBoundingClientRect();
    if (!box.width) return;
    const scale = devicePixelRatio || 1;
    this.canvas.width = Math.round(box.width * scale);
    this.canvas.height = Math.round(box.height * scale);
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    this.colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const room = box.height - RULER - lanes, top = RULER, half = Math.round(room * 0.42);
    this.drawRuler(pen, box.width);
    if (this.samples) {
      this.drawWaveform(pen, box.width, top, half);
      this.drawSpectrogram(pen, box.width, top + half, room - half, scale);
    }
    this.drawLanes(pen, box.width, box.height - lanes);
    this.showState();
  }

  drawLanes(pen, width, top) {
    const { start, end, colour } = this;
    const view = { start, end, width, colour, x: (time) => this.at(time, width) };
    this.isDense = isDense(this.lanes, view);
    for (const lane of this.lanes) {
      pen.fillStyle = colour("line");
      pen.fillRect(0, top, width, 1);
      drawLane(pen, lane, top, view, this.chosen, this.isDense);
      top += heightOf(lane);
    }
    const unsure = this.lanes.some(({ segments }) => segments.some(({ uncertain }) => uncertain));
    this.dense.textContent = this.isDense
      ? "Each column shows how much was spoken in each emotion, the fullest at full height. Zoom in for single segments."
      : unsure ? "Striped: the label is not sure." : "";
  }

  at(time, width) {
    return ((time - this.start) / (this.end - this.start)) * width;
  }

  drawRuler(pen, width) {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600];
    const wanted = ((this.end - this.start) * 85) / width;
    const step = steps.find((value) => value >= wanted) ?? 7200;
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    for (let n = Math.ceil(this.start / step); n * step < this.end; n++) {
      const x = this.at(n * step, width);
      pen.fillStyle = this.colour("line");
      pen.fillRect(x, RULER - 6, 1, 6);
      pen.fillStyle = this.colour("soft");
      const text = clock(n * step, step < 1 ? 1 : 0);
      if (x + 5 + pen.measureText(text).width < width) pen.fillText(text, x + 5, RULER / 2);
    }
    pen.fillStyle = this.colour("line");
    pen.fillRect(0, RULER, width, 1);
  }

  drawWaveform(pen, width, top, height) {
    const loudest = Math.max(0.02, ...between(this.samples, this.peaks, 0, this.samples.length).map(Math.abs));
    const middle = top + height / 2, gain = (height / 2 - 5) / loudest;
    pen.fillStyle = this.colour("accent");
    const step = ((this.end - this.start) * RATE) / width;
    for (let x = 0; x < width; x++) {
      const from = this.start * RATE + x * step;
      const [low, high] = between(this.samples, this.peaks, from, from + step);
      pen.fillRect(x, middle - high * gain, 1, Math.max(1, (high - low) * gain));
    }
  }

  drawSpectrogram(pen, width, top, height, scale) {
    const columns = Math.round(width * Math.min(scale, 2)), rows = Math.round(height);
    const levels = spectrogram(this.samples, this.start, this.end, columns, rows);
    const ramp = heat(Array.from({ length: 6 }, (_, i) => this.colour(`heat-${i}`)));
    const image = new ImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    for (let column = 0; column < columns; column++) {
      for (let row = 0; row < rows; row++) {
        pixels[row * columns + column] = ramp[Math.round(255 * levels[column * rows + row])];
      }
    }
    const sheet = new OffscreenCanvas(columns, rows);
    sheet.getContext("2d").putImageData(image, 0, 0);
    pen.drawImage(sheet, 0, top, width, height);
  }
}

/** Samples to draw and a blob to play; the engine decodes what this browser cannot, but no channel alone. */
async function prepare(entry, engine) {
  [entry.samples, entry.playable] = [null, null];
  const { file, prediction: { channel, segments } } = entry;
  const drawn = ending(segments) <= DRAWN;
  for (const source of channel ? [() => file] : [() => file, () => engine.listen(file)]) {
    try {
      const blob = await source();
      if (drawn) entry.samples = await decode(await blob.arrayBuffer(), channel);
      else await playable(blob);
      entry.playable = drawn && channel ? wav([entry.samples], RATE) : blob;
      return;
    } catch { /* the next source, or no picture */ }
  }
}

/** Wait until the browser knows that it can play a blob. */
async function playable(blob) {
  const audio = new Audio(URL.createObjectURL(blob));
  await new Promise((done, failed) => Object.assign(audio, { onloadedmetadata: done, onerror: failed }));
  URL.revokeObjectURL(audio.src);
}

/** 256 colours between the stops, as little-endian ABGR. */
function heat(stops) {
  const colours = stops.map(rgb);
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const place = (i / 255) * (colours.length - 1), n = Math.min(colours.length - 2, Math.floor(place));
    const [r, g, b] = colours[n].map((value, c) => Math.round(value + (colours[n + 1][c] - value) * (place - n)));
    return (255 << 24) | (b << 16) | (g << 8) | r;
  });
}
