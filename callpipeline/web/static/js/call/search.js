// Search in the transcript: highlights the matches, Enter goes to the next one.
import { highlight, rangeOf, textOf } from "./text.js";

const MAX_HIGHLIGHTED = 2000;

export class Search {
  constructor(transcript) {
    this.transcript = transcript;
    this.texts = null;
    this.matches = [];
    this.index = -1;
    const form = document.querySelector("#search form");
    this.field = document.getElementById("query");
    this.matchesOnly = document.getElementById("matches-only");
    form.parentElement.hidden = false;
    this.field.addEventListener("input", () => this.#update());
    this.matchesOnly.addEventListener("change", () => this.#filter());
    form.addEventListener("submit", (event) => (event.preventDefault(), this.next(1)));
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#clear();
      if (event.key === "Enter" && event.shiftKey) (event.preventDefault(), this.next(-1));
    });
  }

  focus() {
    this.field.focus();
    this.field.select();
  }

  next(by) {
    if (!this.matches.length) return;
    this.index = (this.index + by + this.matches.length) % this.matches.length;
    const match = this.matches[this.index];
    highlight("current-match", [this.#range(match)].filter(Boolean));
    this.transcript.show(match.line);
    if (this.transcript.autoScroll) this.transcript.autoScroll.checked = false;
    this.#count();
  }

  #clear() {
    this.field.value = "";
    this.#update();
    this.field.blur();
  }

  #update() {
    const query = lowerCase(this.field.value.trim());
    this.texts ??= this.transcript.lines.map((line) => lowerCase(textOf(line)));
    this.matches = query ? [...this.#findMatches(query)] : [];
    this.index = -1;
    highlight("current-match", []);
    const shown = this.matches.slice(0, MAX_HIGHLIGHTED);
    highlight("match", shown.map((match) => this.#range(match)).filter(Boolean));
    this.#filter();
    this.#count();
  }

  *#findMatches(query) {
    for (const [i, text] of this.texts.entries()) {
      for (let at = text.indexOf(query); at >= 0; at = text.indexOf(query, at + query.length)) {
        yield { line: this.transcript.lines[i], start: at, end: at + query.length };
      }
    }
  }

  #range({ line, start, end }) {
    return rangeOf(line.querySelector("p"), start, end);
  }

  #filter() {
    const matching = new Set(this.matches.map((match) => match.line));
    const all = !this.matchesOnly.checked || !this.field.value.trim();
    for (const line of this.transcript.lines) line.hidden = !all && !matching.has(line);
  }

  #count() {
    const total = this.matches.length;
    const shown = this.index < 0 ? `${total} found` : `${this.index + 1} of ${total}`;
    document.getElementById("match-count").textContent = this.field.value.trim() ? shown : "";
  }
}

// Text whose length changes in lower case is left unchanged, so that positions stay valid.
function lowerCase(text) {
  const lower = text.toLowerCase();
  return lower.length === text.length ? lower : text;
}
