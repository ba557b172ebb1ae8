// A waveform for each channel, with a ruler and a mark for each mention; click or drag to seek.
import WaveSurfer from "/static/vendor/wavesurfer.esm.js";
import { clock } from "./clock.js";

const HEIGHT = 56;
const WIDEST = 16000; // pixels: browsers draw no wider canvas
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const dark = matchMedia("(prefers-color-scheme: dark)");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Lanes {
  constructor(player, peaks) {
    this.player = player;
    this.view = document.getElementById("ways");
    this.slider = document.getElementById("lanes");
    this.names = player.section.dataset.lanes.split(" ");
    this.zoom = 1;
    this.view.hidden = false;
    this.waves = WaveSurfer.create({
      container: document.getElementById("waves"),
      media: player.audio,
      peaks,
      duration: player.duration,
      cspNonce: player.section.dataset.nonce,
      height: HEIGHT,
      dragToSeek: { debounceTime: 0 },
      hideScrollbar: true,
      cursorWidth: 2,
      barWidth: 2,
      barGap: 1,
      barRadius: 1,
      barMinHeight: 1,
      ...this.#colours(),
    });
    // A place that was sought before the waveform came is not shown in it yet.
    this.waves.on("ready", () => player.isPlaying || !player.at || this.waves.setTime(player.at));
    dark.addEventListener("change", () => this.waves.setOptions(this.#colours()));
    player.addEventListener("time", () => this.#moved());
    new ResizeObserver(() => this.#rule()).observe(this.slider);
    this.#zooms();
    this.#moved();
  }

  #colours() {
    const style = getComputedStyle(this.slider);
    const one = (name) => style.getPropertyValue(name).trim();
    const splitChannels = this.names.map((name) => ({
      height: HEIGHT,
      waveColor: one(`--${name}-wave`),
      progressColor: one(`--${name}`),
    }));
    return { splitChannels, cursorColor: one("--pico-color") };
  }

  #moved() {
    const at = Math.round(this.player.at);
    if (at === this.at) return;
    this.at = at;
    this.slider.setAttribute("aria-valuenow", at);
    this.slider.setAttribute("aria-valuetext", `${clock(at)} of ${clock(this.player.duration)}`);
    if (this.zoom > 1) this.#keepInView();
  }

  #keepInView() {
    const x = (this.player.at / this.player.duration) * this.slider.offsetWidth;
    const { scrollLeft, clientWidth } = this.view;
    if (x < scrollLeft || x > scrollLeft + clientWidth * 0.9) {
      this.view.scrollTo({ left: x - clientWidth * 0.2, behavior: calm.matches ? "auto" : "smooth" });
    }
  }

  #zooms() {
    const [wider, narrower] = ["wider", "narrower"].map((id) => document.getElementById(id));
    const set = (zoom) => {
      const most = Math.max(1, WIDEST / this.view.clientWidth);
      this.zoom = Math.min(Math.max(1, zoom), most);
      const width = `${this.zoom * 100}%`;
      for (const wide of [this.slider, document.getElementById("marks")]) wide.style.width = width;
      narrower.disabled = this.zoom <= 1;
      wider.disabled = this.zoom >= most;
      this.#keepInView();
    };
    wider.addEventListener("click", () => set(this.zoom * 2));
    narrower.addEventListener("click", () => set(this.zoom / 2));
  }

  #rule() {
    const width = this.slider.offsetWidth;
    if (!width || width === this.ruled) return;
    this.ruled = width;
    const { duration } = this.player;
    const step = STEPS.find((s) => (s / duration) * width >= 64) ?? STEPS.at(-1);
    const ticks = [];
    for (let at = 0; at < duration - step / 3; at += step) {
      const tick = document.createElement("span");
      tick.textContent = clock(at);
      tick.style.left = `${(at / duration) * 100}%`;
      ticks.push(tick);
    }
    document.getElementById("ruler").replaceChildren(...ticks);
  }

  // A mark for each mention that counts or waits for a person. Those who cannot see them have the
  // list, and the keys [ and ]: so a mark is no stop for the tab key.
  mark(mentions, choose) {
    const marks = mentions.map((mention) => {
      const mark = document.createElement("button");
      mark.type = "button";
      mark.tabIndex = -1;
      mark.className = `mark ${mention.look}`;
      mark.dataset.m = mention.number;
      mark.title = mention.label;
      mark.setAttribute("aria-label", mention.label);
      mark.style.left = `${(mention.at / this.player.duration) * 100}%`;
      const lane = Math.max(0, this.names.indexOf(mention.speaker));
      mark.style.top = `${lane * HEIGHT + HEIGHT / 2}px`;
      mark.addEventListener("click", () => choose(mention));
      return mark;
    });
    document.getElementById("marks").replaceChildren(...marks);
  }
}

// The loudness of each channel, 0 to 1, from a byte for each window.
export async function loadPeaks(url) {
  const reply = await fetch(url);
  if (!reply.ok) throw new Error(`peaks: ${reply.status}`);
  const { channels } = await reply.json();
  return channels.map(({ maxima }) => {
    const bytes = atob(maxima);
    const loud = new Float32Array(bytes.length);
    for (let i = 0; i < bytes.length; i += 1) loud[i] = bytes.charCodeAt(i) / 255;
    return loud;
  });
}
