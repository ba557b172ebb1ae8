// A waveform per channel with a ruler and a marker per mention; click or drag to seek.
import WaveSurfer from "/static/vendor/wavesurfer.esm.js";
import { clock } from "./time.js";

const LANE_HEIGHT_PX = 56;
const MAX_WIDTH_PX = 16000; // limit of canvases in browsers
const TICK_STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const dark = matchMedia("(prefers-color-scheme: dark)");
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

export class Waveform {
  constructor(player, peaks) {
    this.player = player;
    this.view = document.getElementById("waveform-view");
    this.slider = document.getElementById("waveform");
    this.speakers = player.section.dataset.lanes.split(" ");
    this.zoom = 1;
    this.view.hidden = false;
    this.waves = WaveSurfer.create({
      container: document.getElementById("waves"),
      media: player.audio,
      peaks,
      duration: player.duration,
      cspNonce: player.section.dataset.nonce,
      height: LANE_HEIGHT_PX,
      dragToSeek: { debounceTime: 0 },
      hideScrollbar: true,
      cursorWidth: 2,
      barWidth: 2,
      barGap: 1,
      barRadius: 1,
      barMinHeight: 1,
      ...this.#colours(),
    });
    // Apply a seek that happened before the waveform was loaded.
    this.waves.on("ready", () => player.isPlaying || !player.at || this.waves.setTime(player.at));
    dark.addEventListener("change", () => this.waves.setOptions(this.#colours()));
    player.addEventListener("time", () => this.#onTime());
    new ResizeObserver(() => this.#drawRuler()).observe(this.slider);
    this.#addZoom();
    this.#onTime();
  }

  #colours() {
    const style = getComputedStyle(this.slider);
    const cssValue = (name) => style.getPropertyValue(name).trim();
    const splitChannels = this.speakers.map((name) => ({
      height: LANE_HEIGHT_PX,
      waveColor: cssValue(`--${name}-wave`),
      progressColor: cssValue(`--${name}`),
    }));
    return { splitChannels, cursorColor: cssValue("--pico-color") };
  }

  #onTime() {
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
      this.view.scrollTo({ left: x - clientWidth * 0.2, behavior: reducedMotion.matches ? "auto" : "smooth" });
    }
  }

  #addZoom() {
    const [zoomIn, zoomOut] = ["zoom-in", "zoom-out"].map((id) => document.getElementById(id));
    const set = (zoom) => {
      const maxZoom = Math.max(1, MAX_WIDTH_PX / this.view.clientWidth);
      this.zoom = Math.min(Math.max(1, zoom), maxZoom);
      const width = `${this.zoom * 100}%`;
      for (const element of [this.slider, document.getElementById("markers")]) element.style.width = width;
      zoomOut.disabled = this.zoom <= 1;
      zoomIn.disabled = this.zoom >= maxZoom;
      this.#keepInView();
    };
    zoomIn.addEventListener("click", () => set(this.zoom * 2));
    zoomOut.addEventListener("click", () => set(this.zoom / 2));
  }

  #drawRuler() {
    const width = this.slider.offsetWidth;
    if (!width || width === this.rulerWidth) return;
    this.rulerWidth = width;
    const { duration } = this.player;
    const step = TICK_STEPS_S.find((s) => (s / duration) * width >= 64) ?? TICK_STEPS_S.at(-1);
    const ticks = [];
    for (let at = 0; at < duration - step / 3; at += step) {
      const tick = document.createElement("span");
      tick.textContent = clock(at);
      tick.style.left = `${(at / duration) * 100}%`;
      ticks.push(tick);
    }
    document.getElementById("ruler").replaceChildren(...ticks);
  }

  // Markers are not in the tab order: the list and the shortcuts [ and ] are accessible instead.
  showMarkers(mentions, onSelect) {
    const markers = mentions.map((mention) => {
      const marker = document.createElement("button");
      marker.type = "button";
      marker.tabIndex = -1;
      marker.className = `marker ${mention.kind}`;
      marker.dataset.m = mention.number;
      marker.title = mention.description;
      marker.setAttribute("aria-label", mention.description);
      marker.style.left = `${(mention.at / this.player.duration) * 100}%`;
      const lane = Math.max(0, this.speakers.indexOf(mention.speaker));
      marker.style.top = `${lane * LANE_HEIGHT_PX + LANE_HEIGHT_PX / 2}px`;
      marker.addEventListener("click", () => onSelect(mention));
      return marker;
    });
    document.getElementById("markers").replaceChildren(...markers);
  }
}

// The peaks of each channel, 0 to 1, decoded from one byte per window.
export async function loadPeaks(url) {
  const reply = await fetch(url);
  if (!reply.ok) throw new Error(`peaks: ${reply.status}`);
  const { channels } = await reply.json();
  return channels.map(({ maxima }) => {
    const bytes = atob(maxima);
    const peaks = new Float32Array(bytes.length);
    for (let i = 0; i < bytes.length; i += 1) peaks[i] = bytes.charCodeAt(i) / 255;
    return peaks;
  });
}
