// The audio player. Dispatches "time" on every frame while playing, and after seeking.
import { clock, secondOf } from "./time.js";

const SPEED_KEY = "callpipeline.speed";

export class Player extends EventTarget {
  constructor(section) {
    super();
    this.section = section;
    this.audio = section.querySelector("#audio");
    this.duration = Number(section.dataset.duration);
    this.audio.controls = false;
    section.querySelector("#controls").hidden = false;
    this.#listen();
    this.#speed(section.querySelector("#speed"));
    this.#link(section.querySelector("#link"));
    if (this.audio.error) this.#showError(); // failed before the listener was added
    const start = secondOf(location.href);
    if (start !== null) this.seek(start);
    else this.#update();
  }

  get at() {
    return this.audio.currentTime;
  }

  get isPlaying() {
    return !this.audio.paused;
  }

  // Before the metadata is loaded, browsers keep the position and start there.
  seek(second, { play = false } = {}) {
    this.audio.currentTime = Math.min(Math.max(0, second), Math.max(0, this.duration - 0.05));
    if (play) this.play();
    this.#update();
  }

  skip(seconds) {
    this.seek(this.at + seconds);
  }

  play() {
    // AbortError: paused before playback started.
    this.audio.play().catch((error) => error.name === "AbortError" || this.#showError());
  }

  toggle() {
    if (this.isPlaying) this.audio.pause();
    else this.play();
  }

  #listen() {
    const button = this.section.querySelector("#play");
    button.addEventListener("click", () => this.toggle());
    const showState = () => {
      button.classList.toggle("playing", this.isPlaying);
      button.setAttribute("aria-label", this.isPlaying ? "Pause" : "Play");
    };
    const frame = () => {
      this.#update();
      if (this.isPlaying) requestAnimationFrame(frame);
    };
    this.audio.addEventListener("play", () => (showState(), frame()));
    for (const name of ["pause", "ended"]) this.audio.addEventListener(name, showState);
    for (const name of ["seeked", "timeupdate"]) this.audio.addEventListener(name, () => this.#update());
    this.audio.addEventListener("error", () => this.#showError());
    for (const skip of this.section.querySelectorAll("[data-skip]")) {
      skip.addEventListener("click", () => this.skip(Number(skip.dataset.skip)));
    }
  }

  #speed(select) {
    const set = (speed) => (this.audio.playbackRate = this.audio.defaultPlaybackRate = speed);
    const saved = savedSpeed();
    if ([...select.options].some((option) => option.value === saved)) select.value = saved;
    set(Number(select.value));
    select.addEventListener("change", () => (set(Number(select.value)), saveSpeed(select.value)));
  }

  #link(link) {
    link.addEventListener("click", async (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      history.replaceState(history.state, "", link.href);
      const isCopied = await copy(link.href);
      this.announce(isCopied ? "Link copied" : "The link is in the address bar.");
    });
  }

  // Announces a change to screen readers.
  announce(text) {
    this.section.querySelector("#announcement").textContent = text;
  }

  #showError() {
    const problem = this.section.querySelector("#player-problem");
    problem.textContent = "Couldn't play the audio. Reload the page or download the recording.";
    problem.hidden = false;
    this.audio.controls = true;
  }

  #update() {
    const text = clock(this.at);
    const position = this.section.querySelector("#position");
    if (position.textContent !== text) {
      position.textContent = text;
      this.section.querySelector("#link-position").textContent = text;
    }
    const href = `?t=${Math.round(this.at * 10) / 10}`;
    const link = this.section.querySelector("#link");
    if (!this.isPlaying || Math.abs(this.at - secondOf(link.href)) >= 1) link.setAttribute("href", href);
    this.dispatchEvent(new Event("time"));
  }
}

// localStorage throws where it is disabled.
function savedSpeed() {
  try {
    return localStorage.getItem(SPEED_KEY);
  } catch {
    return null;
  }
}

function saveSpeed(speed) {
  try {
    localStorage.setItem(SPEED_KEY, speed);
  } catch {
    // The speed lasts until the page is closed.
  }
}

// The clipboard is only available over HTTPS and on localhost.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
