// The transcript follows the sound, and a click on a word plays it.
import { lastNotAfter, secondOf } from "./clock.js";
import { paint } from "./highlight.js";
import { characterAt } from "./words.js";

const AWAY = ["wheel", "touchmove"]; // the reader looks elsewhere
const PAGING = new Set(["PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowDown"]);
const OVERLAPPING = 12; // segments before the last that may go on still: two speak at once
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Transcript {
  constructor(list, words) {
    this.list = list;
    this.words = words;
    this.lines = [...list.children];
    this.begins = this.lines.map((line) => Number(line.dataset.t));
    this.current = [];
    this.player = null;
  }

  // Without sound there is nothing to follow, and links lead to their line.
  listen(player) {
    this.player = player;
    this.follow = document.getElementById("follow");
    document.getElementById("following").hidden = false;
    this.list.addEventListener("click", (event) => this.#clicked(event));
    player.addEventListener("time", () => this.#moved());
    for (const name of AWAY) addEventListener(name, () => this.#lookAway(), { passive: true });
    addEventListener("keydown", (event) => PAGING.has(event.key) && this.#lookAway());
    this.follow.addEventListener("change", () => this.follow.checked && this.show());
    this.#moved();
  }

  // To what is said next, or was said before.
  step(by) {
    const here = lastNotAfter(this.begins, this.player.at + 0.05);
    const again = by < 0 && here >= 0 && this.player.at - this.begins[here] > 1.5;
    const to = again ? here : here + by;
    this.player.seek(this.begins[Math.min(Math.max(0, to), this.begins.length - 1)]);
  }

  toggleFollow() {
    this.follow.click();
  }

  // What is said now comes into view.
  show(line = this.current.at(-1)) {
    line?.scrollIntoView({ block: "center", behavior: calm.matches ? "auto" : "smooth" });
  }

  #lookAway() {
    if (this.player.isPlaying) this.follow.checked = false;
  }

  #clicked(event) {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    const line = event.target.closest("li");
    const link = event.target.closest("a");
    if (!line || (link && link.classList.contains("named"))) return;
    if (link) {
      event.preventDefault();
      this.player.seek(secondOf(link.href), { play: true });
    } else if (getSelection().isCollapsed) {
      const text = line.querySelector("p");
      const character = text.contains(event.target)
        ? characterAt(text, event.clientX, event.clientY)
        : null;
      if (character === null) return;
      this.player.seek(this.words.secondAt(line, character), { play: true });
    }
  }

  #moved() {
    const at = this.player.at + 0.01;
    const last = lastNotAfter(this.begins, at);
    const near = this.lines.slice(Math.max(0, last - OVERLAPPING), last + 1);
    const now = near.filter((line) => Number(line.dataset.e) > at);
    if (now.length !== this.current.length || now.some((line, i) => line !== this.current[i])) {
      this.#mark(now);
    }
    const ranges = now.map((line) => this.words.rangeAt(line, at)).filter(Boolean);
    paint("said-now", ranges);
  }

  #mark(now) {
    for (const line of this.current) line.removeAttribute("aria-current");
    for (const line of now) line.setAttribute("aria-current", "true");
    this.current = now;
    if (now.length && this.follow.checked) this.show();
  }
}
