// The page of a recording: lanes that scroll and zoom, the sound, and rows of lanes for print.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const sounds = [...document.querySelectorAll("script.sound")].map((node) => (
  { start: Number(node.dataset.start), end: Number(node.dataset.end), node }));
const at = (id) => document.getElementById(id);
const decode = (text) => text && Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const dark = matchMedia("(prefers-color-scheme: dark)");
const [START, END, EMOTION, SURE, AROUSAL, VALENCE, UNCERTAIN, WARNING] = [0, 1, 2, 3, 4, 5, 6, 7];
const RULER = 24, NAME = 20, WAVE = 38, BLOCK = 32, CURVE = 54, GAP = 12; // CSS pixels
const CELL = 3; // pixels of one bin
const NARROWEST = 2; // seconds that fill the width at the closest zoom

const lanes = data.lanes.map((lane) => ({ ...lane, wave: decode(lane.wave) }));
const common = decode(data.wave), named = lanes.length > 1 || lanes.some((lane) => lane.name);

function clock(time, step = 1) {
  const tenths = Math.round(time * 10), whole = step < 1 ? Math.floor(tenths / 10) : Math.round(time);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return (h ? `${h}:${two(m)}` : `${m}`) + `:${two(s)}` + (step < 1 ? `.${tenths % 10}` : "");
}

/** Black or white, whichever is easier to read on a colour. */
function contrasting(colour) {
  const [r, g, b] = [1, 3, 5].map((i) => {
    const part = parseInt(colour.slice(i, i + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}

/** The first part that ends after a time: parts are in order. */
function firstAfter(parts, time) {
  let [low, high] = [0, parts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (parts[middle][END] > time) high = middle; else low = middle + 1;
  }
  return low;
}

class Drawing {
  /** Lanes on a canvas from one time to another; `top` is where the first begins. */
  constructor(canvas, colours) {
    [this.canvas, this.colours] = [canvas, colours];
    this.pen = canvas.getContext("2d");
  }

  static height() {
    const waves = lanes.filter((lane) => lane.wave).length + (common ? 1 : 0);
    return RULER + waves * WAVE + lanes.length * ((named ? NAME : 0) + BLOCK + CURVE + GAP);
  }

  draw(width, start, end) {
    const scale = devicePixelRatio || 1, height = Drawing.height(), { canvas, pen } = this;
    canvas.style.height = `${height}px`;
    if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
    if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    Object.assign(this, { width, start, end, perSecond: width / (end - start) });
    pen.textBaseline = "middle";
    this.hatch = this.hatching();
    this.ruler(height);
    let top = RULER;
    if (common) { this.wave(common, top); top += WAVE; }
    for (const lane of lanes) {
      if (named) { this.name(lane.name || "speech", top); top += NAME; }
      if (lane.wave) { this.wave(lane.wave, top); top += WAVE; }
      this.blocks(lane, top + 1);
      this.curves(lane, top + BLOCK + 4);
      top += BLOCK + CURVE + GAP;
    }
  }

  x(time) { return (time - this.start) * this.perSecond; }

  hatching() {
    const tile = document.createElement("canvas"), pen = tile.getContext("2d");
    tile.width = tile.height = 6;
    Object.assign(pen, { strokeStyle: this.colours.background, lineWidth: 2 });
    pen.beginPath();
    for (const shift of [-6, 0, 6]) { pen.moveTo(shift - 1, 7); pen.lineTo(shift + 7, -1); }
    pen.stroke();
    return this.pen.createPattern(tile, "repeat");
  }

  ruler(height) {
    const { pen, colours, width, start, end } = this;
    const steps = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
    const step = steps.find((value) => value * this.perSecond >= 70) ?? 14400;
    pen.font = "12px system-ui, sans-serif";
    for (let n = Math.ceil(start / step - 1e-9); n * step <= end + 1e-9; n += 1) {
      const x = this.x(n * step), text = clock(n * step, step);
      pen.fillStyle = colours.line;
      pen.fillRect(Math.min(x, width - 1), RULER - 8, 1, height - RULER);
      pen.fillStyle = colours.soft;
      if (x + 4 + pen.measureText(text).width < width) pen.fillText(text, x + 4, 9);
    }
  }

  name(text, top) {
    const { pen, colours } = this;
    pen.font = "600 13px system-ui, sans-serif";
    const width = pen.measureText(text).width;
    pen.fillStyle = colours.background;
    pen.fillRect(0, top + 1, width + 6, NAME - 2);
    pen.fillStyle = colours.foreground;
    pen.fillText(text, 0, top + NAME / 2 + 1);
  }

  wave(peaks, top) {
    const { pen, colours } = this, middle = top + WAVE / 2, reach = WAVE / 2 - 3;
    const each = peaks.length / data.seconds;
    pen.fillStyle = colours.accent;
    for (let x = 0; x < this.width; x += 1) {
      const from = Math.floor((this.start + x / this.perSecond) * each);
      const to = Math.max(from + 1, Math.floor((this.start + (x + 1) / this.perSecond) * each));
      let sum = 0;
      for (let n = Math.max(0, from); n < to && n < peaks.length; n += 1) sum += peaks[n];
      const high = Math.max(0.5, sum / (to - from) / 255 * reach);
      pen.fillRect(x, middle - high, 1, 2 * high);
    }
  }

  /** Seconds of each emotion, certain and not, and the curves' means, of cells of some pixels. */
  cells(lane) {
    const count = Math.ceil(this.width / CELL), n = data.emotions.length;
    const made = {
      count, sure: new Float32Array(count * n), unsure: new Float32Array(count * n),
      talk: new Float32Array(count), axes: [new Float32Array(count), new Float32Array(count)],
    };
    const length = CELL / this.perSecond;
    for (let i = firstAfter(lane.parts, this.start); i < lane.parts.length && lane.parts[i][START] < this.end; i += 1) {
      const part = lane.parts[i], kind = part[UNCERTAIN] ? made.unsure : made.sure;
      const first = Math.max(0, Math.floor((part[START] - this.start) / length));
      for (let cell = first; cell < count; cell += 1) {
        const left = this.start + cell * length;
        if (left >= part[END]) break;
        const seconds = Math.min(part[END], left + length) - Math.max(part[START], left);
        if (seconds <= 0) continue;
        kind[cell * n + part[EMOTION]] += seconds;
        if (part[AROUSAL] === null) continue;
        made.talk[cell] += seconds;
        made.axes[0][cell] += seconds * part[AROUSAL];
        made.axes[1][cell] += seconds * part[VALENCE];
      }
    }
    return made;
  }

  blocks(lane, top) {
    const { pen, colours, width } = this;
    const first = firstAfter(lane.parts, this.start), last = firstAfter(lane.parts, this.end);
    pen.fillStyle = colours.line;
    if (lane === lanes[0]) {
      for (const [from, to] of data.noise) {
        if (to > this.start && from < this.end) pen.fillRect(this.x(from), top + BLOCK - 4, Math.max(1, (to - from) * this.perSecond), 3);
      }
    }
    const seen = lane.parts.slice(first, last + 1);
    const mean = seen.reduce((sum, part) => sum + part[END] - part[START], 0) / Math.max(1, seen.length);
    this.made = this.cells(lane);
    if (mean * this.perSecond < 4) { this.stacks(top); return; }
    pen.font = "600 12px system-ui, sans-serif";
    for (const part of seen) {
      const left = Math.max(-2, this.x(part[START])), right = Math.min(width + 2, this.x(part[END]));
      const name = data.emotions[part[EMOTION]], colour = colours[name] ?? colours.soft;
      if (right <= left) continue;
      const box = [left + 0.5, top, Math.max(1, right - left - 1), BLOCK - 4];
      pen.fillStyle = colour;
      pen.fillRect(...box);
      if (part[UNCERTAIN]) { pen.fillStyle = this.hatch; pen.fillRect(...box); }
      const from = Math.max(left, 0) + 6, room = Math.min(right, width) - from - 5, wide = pen.measureText(name).width;
      if (wide > room) continue;
      if (part[UNCERTAIN]) { pen.fillStyle = colour; pen.fillRect(from - 4, top, wide + 8, BLOCK - 4); }
      pen.fillStyle = contrasting(colour);
      pen.fillText(name, from, top + BLOCK / 2 - 1);
    }
  }

  /** Where segments are too narrow to be told apart: how much was spoken in each emotion, the fullest moment at full height. */
  stacks(top) {
    const { pen, colours, made } = this, n = data.emotions.length, high = BLOCK - 4;
    let fullest = 1e-3;
    for (let cell = 0; cell < made.count; cell += 1) {
      let sum = 0;
      for (let emotion = 0; emotion < n; emotion += 1) sum += made.sure[cell * n + emotion] + made.unsure[cell * n + emotion];
      fullest = Math.max(fullest, sum);
    }
    const per = high / fullest;
    for (let cell = 0; cell < made.count; cell += 1) {
      let y = top + high;
      for (const kind of [made.sure, made.unsure]) {
        const foot = y;
        for (let emotion = 0; emotion < n; emotion += 1) {
          const tall = kind[cell * n + emotion] * per;
          y -= tall;
          pen.fillStyle = colours[data.emotions[emotion]] ?? colours.soft;
          if (tall) pen.fillRect(cell * CELL, y, CELL, tall);
        }
        pen.fillStyle = this.hatch;
        if (kind === made.unsure) pen.fillRect(cell * CELL, y, CELL, foot - y);
      }
    }
  }

  curves(lane, top) {
    const { pen, colours, made } = this, middle = top + CURVE / 2, reach = CURVE / 2 - 3;
    pen.fillStyle = colours.line;
    pen.fillRect(0, middle, this.width, 1);
    const pause = Math.max(4, 2 * this.perSecond / CELL); // cells that a line bridges
    [[colours.accent, []], [colours.warn, [5, 3]]].forEach(([colour, dash], axis) => {
      pen.strokeStyle = colour;
      pen.lineWidth = 1.8;
      pen.setLineDash(dash);
      pen.beginPath();
      let last = -Infinity;
      for (let cell = 0; cell < made.count; cell += 1) {
        if (!made.talk[cell]) continue;
        const y = middle - made.axes[axis][cell] / made.talk[cell] / 100 * reach, x = (cell + 0.5) * CELL;
        if (cell - last > pause) { pen.moveTo(x - CELL / 2, y); }
        pen.lineTo(x + CELL / 2, y);
        last = cell;
      }
      pen.stroke();
    });
    pen.setLineDash([]);
  }
}

class View {
  constructor() {
    [this.start, this.end] = [0, data.seconds];
    this.canvas = at("lanes");
    this.audio = new Audio();
    this.time = 0;
    this.bind();
    new ResizeObserver(() => this.redraw()).observe(this.canvas.parentNode);
    dark.addEventListener("change", () => this.redraw());
  }

  redraw() {
    if (this.asked) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = null;
      const width = this.canvas.parentNode.clientWidth;
      const colours = data.colours[dark.matches ? "dark" : "light"];
      new Drawing(this.canvas, colours).draw(width, this.start, this.end);
      this.map(width, colours);
      this.showTime();
    });
  }

  /** The whole recording with the part that is shown. */
  map(width, colours) {
    const canvas = at("map"), scale = devicePixelRatio || 1, pen = canvas.getContext("2d"), high = 26;
    [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(high * scale)];
    pen.scale(scale, scale);
    const whole = Object.assign(new Drawing(canvas, colours), { width, start: 0, end: data.seconds, perSecond: width / data.seconds });
    const each = high / lanes.length;
    lanes.forEach((lane, number) => {
      const made = whole.cells(lane), n = data.emotions.length;
      for (let cell = 0; cell < made.count; cell += 1) {
        let best = -1, most = 0;
        for (let e = 0; e < n; e += 1) {
          const seconds = made.sure[cell * n + e] + made.unsure[cell * n + e];
          if (seconds > most) [best, most] = [e, seconds];
        }
        if (best < 0) continue;
        pen.fillStyle = colours[data.emotions[best]] ?? colours.soft;
        pen.fillRect(cell * CELL, number * each, CELL, each - 1);
      }
    });
    pen.fillStyle = colours.background;
    pen.globalAlpha = 0.72;
    pen.fillRect(0, 0, whole.x(this.start), high);
    pen.fillRect(whole.x(this.end), 0, width, high);
    pen.globalAlpha = 1;
    pen.strokeStyle = colours.foreground;
    pen.lineWidth = 2;
    pen.strokeRect(whole.x(this.start) + 1, 1, Math.max(3, whole.x(this.end) - whole.x(this.start) - 2), high - 2);
  }

  show(start, length) {
    const width = Math.min(data.seconds, Math.max(Math.min(NARROWEST, data.seconds), length));
    this.start = Math.max(0, Math.min(start, data.seconds - width));
    this.end = this.start + width;
    at("closer").disabled = width <= NARROWEST;
    at("farther").disabled = at("all").disabled = width >= data.seconds;
    this.redraw();
  }

  zoom(factor, share = 0.5) {
    const length = this.end - this.start, wanted = Math.max(NARROWEST, Math.min(data.seconds, length * factor));
    this.show(this.start + share * (length - wanted), wanted);
  }

  pan(share) { this.show(this.start + share * (this.end - this.start), this.end - this.start); }

  bind() {
    const { canvas } = this, share = (event) => event.offsetX / canvas.clientWidth;
    at("closer").onclick = () => this.zoom(0.5, this.middle());
    at("farther").onclick = () => this.zoom(2, this.middle());
    at("all").onclick = () => this.show(0, data.seconds);
    canvas.addEventListener("wheel", (event) => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
      if (!event.ctrlKey && !event.metaKey && !sideways) return;
      event.preventDefault();
      if (sideways && !event.ctrlKey) this.pan((event.deltaX || event.deltaY) / canvas.clientWidth);
      else this.zoom(Math.exp(event.deltaY / 200), share(event));
    }, { passive: false });
    const fingers = new Map();
    let moved = 0;
    canvas.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, event.offsetX);
      moved = 0;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!fingers.has(event.pointerId)) { this.tell(event); return; }
      const before = [...fingers.values()], shift = event.offsetX - fingers.get(event.pointerId);
      fingers.set(event.pointerId, event.offsetX);
      const now = [...fingers.values()];
      moved += Math.abs(shift);
      if (now.length > 1) {
        const spread = (pair) => Math.max(20, Math.abs(pair[0] - pair[1]));
        this.zoom(spread(before) / spread(now), (now[0] + now[1]) / 2 / canvas.clientWidth);
      } else if (moved > 4) this.pan(-shift / canvas.clientWidth);
    });
    const lift = (event) => {
      if (event.type === "pointerup" && moved <= 4 && fingers.size === 1) {
        this.tell(event);
        this.seek(this.start + share(event) * (this.end - this.start));
      }
      fingers.delete(event.pointerId);
    };
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);
    canvas.addEventListener("keydown", (event) => {
      const act = {
        ArrowLeft: () => this.pan(-0.2), ArrowRight: () => this.pan(0.2), "+": () => this.zoom(0.5), "-": () => this.zoom(2),
        Home: () => this.show(0, this.end - this.start), End: () => this.show(data.seconds, this.end - this.start), " ": () => this.toggle(),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
    const centre = (event) => {
      const length = this.end - this.start;
      this.show(event.offsetX / at("map").clientWidth * data.seconds - length / 2, length);
    };
    at("map").addEventListener("pointerdown", (event) => { at("map").setPointerCapture(event.pointerId); centre(event); });
    at("map").addEventListener("pointermove", (event) => { if (event.buttons) centre(event); });
    at("play").onclick = () => this.toggle();
    at("seek").max = data.seconds.toFixed(1);
    at("seek").oninput = () => this.seek(Number(at("seek").value));
    for (const button of document.querySelectorAll("button[data-from]")) {
      button.onclick = () => {
        const [from, to] = [Number(button.dataset.from), Number(button.dataset.to)];
        const length = Math.min(Math.max(30, to - from), data.seconds);
        this.show((from + to) / 2 - length / 2, length);
        this.playing = button;
        this.play(from, to);
      };
    }
    this.audio.addEventListener("ended", () => { this.time = this.sound.end; this.go(this.time, true); });
    this.audio.addEventListener("error", () => this.cannot());
    if (!sounds.length || !this.audio.canPlayType("audio/ogg; codecs=opus")) this.cannot();
  }

  cannot() {
    at("play").disabled = true;
    at("nosound").hidden = false;
  }

  middle() { return this.time >= this.start && this.time <= this.end ? (this.time - this.start) / (this.end - this.start) : 0.5; }

  /** What the segment under the pointer is. */
  tell(event) {
    const time = this.start + event.offsetX / this.canvas.clientWidth * (this.end - this.start);
    let top = RULER + (common ? WAVE : 0);
    for (const lane of lanes) {
      const high = (named ? NAME : 0) + (lane.wave ? WAVE : 0) + BLOCK + CURVE + GAP;
      const part = lane.parts[firstAfter(lane.parts, time)];
      if (event.offsetY >= top && event.offsetY < top + high && part && part[START] <= time) {
        const sign = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value / 100).toFixed(1)}`;
        const place = part[AROUSAL] === null ? "" : `, arousal ${sign(part[AROUSAL])}, valence ${sign(part[VALENCE])}`;
        const doubt = part[UNCERTAIN] ? `, uncertain${part[WARNING] ? ` (${part[WARNING]})` : ""}` : "";
        at("told").textContent = `${clock(part[START], 0.1)} to ${clock(part[END], 0.1)}${lane.name ? `, ${lane.name}` : ""}: `
          + `${data.emotions[part[EMOTION]]} ${part[SURE]}\u00a0%${place}${doubt}`;
        return;
      }
      top += high;
    }
  }

  toggle() { if (this.audio.paused) this.play(this.time); else this.pause(); }

  seek(time) {
    this.stop = null;
    this.time = time;
    if (!this.audio.paused) this.go(time, true);
    this.reveal();
    this.showTime();
  }

  play(from, to = null) { this.stop = to; this.go(from, true); }

  pause() { this.audio.pause(); this.playing = null; this.showTime(); }

  /** Put the sound at a time, in whichever piece it is, or in the next one. */
  async go(time, plays) {
    const sound = sounds.find((one) => one.end > time + 0.05);
    if (!sound) { this.time = Math.min(time, data.seconds); this.pause(); return; }
    if (this.sound !== sound) {
      this.audio.pause();
      if (this.address) URL.revokeObjectURL(this.address);
      this.address = URL.createObjectURL(new Blob([decode(sound.node.textContent)], { type: "audio/ogg" }));
      this.sound = sound;
      this.audio.src = this.address;
    }
    this.audio.currentTime = Math.max(0, time - sound.start);
    this.time = Math.max(time, sound.start);
    if (!plays) return;
    try { await this.audio.play(); } catch (error) { if (error.name !== "AbortError") this.cannot(); return; }
    const tick = () => {
      if (this.audio.paused) { this.showTime(); return; }
      this.time = this.sound.start + this.audio.currentTime;
      if (this.stop !== null && this.time >= this.stop) { this.pause(); return; }
      this.reveal();
      this.showTime();
      requestAnimationFrame(tick);
    };
    tick();
  }

  reveal() {
    const length = this.end - this.start;
    if (this.time < this.start || this.time > this.end) this.show(this.time - 0.1 * length, length);
  }

  showTime() {
    const x = (this.time - this.start) / (this.end - this.start) * this.canvas.clientWidth;
    at("head").style.transform = `translateX(${x}px)`;
    at("head").hidden = x < 0 || x > this.canvas.clientWidth || (this.time === 0 && this.audio.paused);
    at("time").textContent = `${clock(this.time)} / ${clock(data.seconds)}`;
    at("seek").value = this.time;
    at("seek").setAttribute("aria-valuetext", clock(this.time));
    const plays = !this.audio.paused;
    at("play").textContent = plays ? "Pause" : "Play";
    for (const button of document.querySelectorAll("button[data-from]")) button.classList.toggle("on", plays && button === this.playing);
  }
}

/** On paper: rows of so many minutes, in light colours. */
function rows() {
  const steps = [60, 120, 300, 600, 1200, 1800, 3600, 7200], paper = at("paper");
  const step = data.seconds <= 90 ? data.seconds : steps.find((value) => value * 9 >= data.seconds) ?? 14400;
  paper.replaceChildren();
  for (let start = 0; start < data.seconds; start += step) {
    const canvas = paper.appendChild(document.createElement("canvas"));
    new Drawing(canvas, data.colours.light).draw(800, start, start + step);
  }
}

const view = new View();
view.show(0, data.seconds);
addEventListener("beforeprint", rows);
