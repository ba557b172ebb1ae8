// The one <audio>, and the buttons around it. Tells of the time at every frame while it plays, and
// whenever it was moved: `player.addEventListener("time", () => player.at)`.
import { clock, secondOf } from "./clock.js";

const SPEED = "callpipeline.speed";

export class Player extends EventTarget {
  constructor(section) {
    super();
    this.section = section;
    this.audio = section.querySelector("#sound");
    this.duration = Number(section.dataset.duration);
    this.audio.controls = false;
    section.querySelector("#controls").hidden = false;
    this.#listen();
    this.#speed(section.querySelector("#speed"));
    this.#link(section.querySelector("#link"));
    if (this.audio.error) this.#failed(); // before anybody listened
    const begin = secondOf(location.href);
    if (begin !== null) this.seek(begin);
    else this.#tell();
  }

  get at() {
    return this.audio.currentTime;
  }

  get isPlaying() {
    return !this.audio.paused;
  }

  // To a second. Before the sound's head is loaded, browsers keep it as the place to begin at.
  seek(second, { play = false } = {}) {
    this.audio.currentTime = Math.min(Math.max(0, second), Math.max(0, this.duration - 0.05));
    if (play) this.play();
    this.#tell();
  }

  skip(seconds) {
    this.seek(this.at + seconds);
  }

  play() {
    // A play that is cut short by a pause is no error.
    this.audio.play().catch((error) => error.name === "AbortError" || this.#failed());
  }

  toggle() {
    if (this.isPlaying) this.audio.pause();
    else this.play();
  }

  #listen() {
    const button = this.section.querySelector("#play");
    button.addEventListener("click", () => this.toggle());
    const show = () => {
      button.classList.toggle("playing", this.isPlaying);
      button.setAttribute("aria-label", this.isPlaying ? "Pause" : "Play");
    };
    const frame = () => {
      this.#tell();
      if (this.isPlaying) requestAnimationFrame(frame);
    };
    this.audio.addEventListener("play", () => (show(), frame()));
    for (const name of ["pause", "ended"]) this.audio.addEventListener(name, show);
    for (const name of ["seeked", "timeupdate"]) this.audio.addEventListener(name, () => this.#tell());
    this.audio.addEventListener("error", () => this.#failed());
    for (const skip of this.section.querySelectorAll("[data-skip]")) {
      skip.addEventListener("click", () => this.skip(Number(skip.dataset.skip)));
    }
  }

  #speed(select) {
    const set = (speed) => (this.audio.playbackRate = this.audio.defaultPlaybackRate = speed);
    const kept = stored();
    if ([...select.options].some((option) => option.value === kept)) select.value = kept;
    set(Number(select.value));
    select.addEventListener("change", () => (set(Number(select.value)), store(select.value)));
  }

  #link(link) {
    link.addEventListener("click", async (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      history.replaceState(history.state, "", link.href);
      const done = (await copied(link.href)) ? "Link copied." : "The link is in the address bar.";
      this.say(done);
    });
  }

  // Words for those who do not see what changed.
  say(words) {
    this.section.querySelector("#told").textContent = words;
  }

  #failed() {
    const trouble = this.section.querySelector("#trouble");
    trouble.textContent = "The sound cannot be played: reload the page, or download the recording.";
    trouble.hidden = false;
    this.audio.controls = true;
  }

  #tell() {
    const shown = clock(this.at);
    const now = this.section.querySelector("#now");
    if (now.textContent !== shown) {
      now.textContent = shown;
      this.section.querySelector("#link-at").textContent = shown;
    }
    const href = `?t=${Math.round(this.at * 10) / 10}`;
    const link = this.section.querySelector("#link");
    if (!this.isPlaying || Math.abs(this.at - secondOf(link.href)) >= 1) link.setAttribute("href", href);
    this.dispatchEvent(new Event("time"));
  }
}

// Some browsers keep nothing, and say so with an error.
function stored() {
  try {
    return localStorage.getItem(SPEED);
  } catch {
    return null;
  }
}

function store(speed) {
  try {
    localStorage.setItem(SPEED, speed);
  } catch {
    // It holds until the page is left.
  }
}

// Whether it was copied: only pages that came safely may.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
