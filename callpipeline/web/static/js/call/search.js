// Search in the transcript: hits are painted, Enter goes to the next one.
import { paint } from "./highlight.js";
import { rangeOf, textOf } from "./words.js";

const MOST_PAINTED = 2000;

export class Search {
  constructor(transcript) {
    this.transcript = transcript;
    this.texts = null;
    this.hits = [];
    this.place = -1;
    const form = document.querySelector("#search form");
    this.field = document.getElementById("wanted");
    this.only = document.getElementById("only-found");
    form.parentElement.hidden = false;
    this.field.addEventListener("input", () => this.#look());
    this.only.addEventListener("change", () => this.#filter());
    form.addEventListener("submit", (event) => (event.preventDefault(), this.next(1)));
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#leave();
      if (event.key === "Enter" && event.shiftKey) (event.preventDefault(), this.next(-1));
    });
  }

  begin() {
    this.field.focus();
    this.field.select();
  }

  next(by) {
    if (!this.hits.length) return;
    this.place = (this.place + by + this.hits.length) % this.hits.length;
    const hit = this.hits[this.place];
    paint("found-now", [this.#range(hit)].filter(Boolean));
    this.transcript.show(hit.line);
    if (this.transcript.follow) this.transcript.follow.checked = false;
    this.#count();
  }

  #leave() {
    this.field.value = "";
    this.#look();
    this.field.blur();
  }

  #look() {
    const wanted = folded(this.field.value.trim());
    this.texts ??= this.transcript.lines.map((line) => folded(textOf(line)));
    this.hits = wanted ? [...this.#matches(wanted)] : [];
    this.place = -1;
    paint("found-now", []);
    paint("found", this.hits.slice(0, MOST_PAINTED).map((hit) => this.#range(hit)).filter(Boolean));
    this.#filter();
    this.#count();
  }

  *#matches(wanted) {
    for (const [i, text] of this.texts.entries()) {
      for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
        yield { line: this.transcript.lines[i], start: at, end: at + wanted.length };
      }
    }
  }

  #range({ line, start, end }) {
    return rangeOf(line.querySelector("p"), start, end);
  }

  #filter() {
    const found = new Set(this.hits.map((hit) => hit.line));
    const all = !this.only.checked || !this.field.value.trim();
    for (const line of this.transcript.lines) line.hidden = !all && !found.has(line);
  }

  #count() {
    const many = this.hits.length;
    const shown = this.place < 0 ? `${many} found` : `${this.place + 1} of ${many}`;
    document.getElementById("found").textContent = this.field.value.trim() ? shown : "";
  }
}

// In any case. What changes its length by that is left as it is: places must hold.
function folded(text) {
  const lower = text.toLowerCase();
  return lower.length === text.length ? lower : text;
}
