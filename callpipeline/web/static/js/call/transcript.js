// The transcript scrolls with the audio; a click on a word plays it.
import { characterAt, highlight } from "./text.js";
import { lastIndexAt, secondOf } from "./time.js";

const SCROLL_EVENTS = ["wheel", "touchmove"];
const SCROLL_KEYS = new Set(["PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowDown"]);
const MAX_OVERLAPPING = 12; // earlier segments that may not have ended yet
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

export class Transcript {
  constructor(list, wordTimes) {
    this.list = list;
    this.wordTimes = wordTimes;
    this.lines = [...list.children];
    this.starts = this.lines.map((line) => Number(line.dataset.t));
    this.current = [];
    this.player = null;
  }

  // Without audio, links lead to their line.
  connect(player) {
    this.player = player;
    this.autoScroll = document.getElementById("auto-scroll");
    document.getElementById("auto-scroll-label").hidden = false;
    this.list.addEventListener("click", (event) => this.#onClick(event));
    player.addEventListener("time", () => this.#onTime());
    for (const name of SCROLL_EVENTS) addEventListener(name, () => this.#stopAutoScroll(), { passive: true });
    addEventListener("keydown", (event) => SCROLL_KEYS.has(event.key) && this.#stopAutoScroll());
    this.autoScroll.addEventListener("change", () => this.autoScroll.checked && this.show());
    this.#onTime();
  }

  // Seeks to the next or the previous line.
  step(by) {
    const current = lastIndexAt(this.starts, this.player.at + 0.05);
    const isRestart = by < 0 && current >= 0 && this.player.at - this.starts[current] > 1.5;
    const to = isRestart ? current : current + by;
    this.player.seek(this.starts[Math.min(Math.max(0, to), this.starts.length - 1)]);
  }

  toggleAutoScroll() {
    this.autoScroll.click();
  }

  // Scrolls to a line, by default the current one.
  show(line = this.current.at(-1)) {
    line?.scrollIntoView({ block: "center", behavior: reducedMotion.matches ? "auto" : "smooth" });
  }

  #stopAutoScroll() {
    if (this.player.isPlaying) this.autoScroll.checked = false;
  }

  #onClick(event) {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    const line = event.target.closest("li");
    const link = event.target.closest("a");
    if (!line || (link && link.classList.contains("mention"))) return;
    if (link) {
      event.preventDefault();
      this.player.seek(secondOf(link.href), { play: true });
    } else if (getSelection().isCollapsed) {
      const text = line.querySelector("p");
      const character = text.contains(event.target)
        ? characterAt(text, event.clientX, event.clientY)
        : null;
      if (character === null) return;
      this.player.seek(this.wordTimes.secondAt(line, character), { play: true });
    }
  }

  #onTime() {
    const at = this.player.at + 0.01;
    const last = lastIndexAt(this.starts, at);
    const near = this.lines.slice(Math.max(0, last - MAX_OVERLAPPING), last + 1);
    const current = near.filter((line) => Number(line.dataset.e) > at);
    if (current.length !== this.current.length || current.some((line, i) => line !== this.current[i])) {
      this.#setCurrent(current);
    }
    const ranges = current.map((line) => this.wordTimes.rangeAt(line, at)).filter(Boolean);
    highlight("current-word", ranges);
  }

  #setCurrent(lines) {
    for (const line of this.current) line.removeAttribute("aria-current");
    for (const line of lines) line.setAttribute("aria-current", "true");
    this.current = lines;
    if (lines.length && this.autoScroll.checked) this.show();
  }
}
