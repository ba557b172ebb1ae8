// Plays the clips that links with `data-clip` lead to, one at a time.
const MESSAGE = "Couldn't play this. The audio may have been deleted.";

export class ClipPlayer extends EventTarget {
  audio = new Audio();
  link = null;

  constructor() {
    super();
    document.addEventListener("click", (event) => this.#onClick(event));
    document.addEventListener("keydown", (event) => this.#onKey(event));
    this.audio.addEventListener("ended", () => this.#end("ended"));
    this.audio.addEventListener("error", () => this.#fail());
    for (const name of ["play", "pause"]) this.audio.addEventListener(name, () => this.#show());
  }

  get isPlaying() {
    return this.link !== null && !this.audio.paused;
  }

  toggle(link) {
    if (!link) return;
    if (link === this.link && this.isPlaying) this.audio.pause();
    else this.play(link);
  }

  play(link) {
    if (link !== this.link) {
      this.#end("stopped");
      this.link = link;
      link.closest("li")?.querySelector(".play-problem")?.remove();
      this.audio.src = link.href;
    }
    // AbortError: paused before playback started. Other errors arrive as events.
    this.audio.play().catch(() => undefined);
  }

  #onClick(event) {
    const link = event.target.closest?.("a[data-clip]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    this.toggle(link);
  }

  // Links react to enter only.
  #onKey(event) {
    if (event.key !== " " || !event.target.matches?.("a[data-clip]")) return;
    event.preventDefault();
    this.toggle(event.target);
  }

  #show() {
    if (!this.link) return;
    this.link.classList.toggle("playing", this.isPlaying);
    const name = this.link.getAttribute("aria-label").replace(/^(Play|Pause) /, "");
    this.link.setAttribute("aria-label", `${this.isPlaying ? "Pause" : "Play"} ${name}`);
  }

  #end(reason) {
    const { link } = this;
    if (!link) return;
    this.audio.pause();
    this.#show();
    this.link = null;
    this.dispatchEvent(new CustomEvent(reason, { detail: link }));
  }

  #fail() {
    const { link } = this;
    this.#end("failed");
    const problem = document.createElement("p");
    problem.className = "problem play-problem";
    problem.setAttribute("role", "alert");
    problem.textContent = MESSAGE;
    link?.closest("li")?.append(problem);
  }
}
