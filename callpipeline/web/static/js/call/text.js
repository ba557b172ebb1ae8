// The text of the transcript: start times of its words, ranges of characters, highlights.
import { lastIndexAt } from "./time.js";

export class WordTimes {
  #starts = {};

  // Loads `{left: [[start of each word in ms], …], …}`, by channel and segment.
  async load(url) {
    const reply = await fetch(url);
    if (reply.ok) this.#starts = await reply.json();
  }

  // The starts of the words of a segment in milliseconds; null without word times.
  #startsOf(line) {
    const starts = this.#starts[line.dataset.c]?.[Number(line.dataset.i)];
    return starts?.length ? starts : null;
  }

  // The start of the word at a character; the start of the segment without word times.
  secondAt(line, character) {
    const starts = this.#startsOf(line);
    if (!starts) return Number(line.dataset.t);
    const before = textOf(line).slice(0, character).split(" ").length - 1;
    return starts[Math.min(before, starts.length - 1)] / 1000;
  }

  // The range of the word spoken at a second; null before the first.
  rangeAt(line, second) {
    const starts = this.#startsOf(line);
    const index = starts ? lastIndexAt(starts, second * 1000 + 1) : -1;
    if (index < 0) return null;
    const words = textOf(line).split(" ");
    const start = words.slice(0, index).reduce((length, word) => length + word.length + 1, 0);
    return rangeOf(line.querySelector("p"), start, start + words[index].length);
  }
}

export const textOf = (line) => line.querySelector("p").textContent;

// A range of characters of an element, which may span several text nodes.
export function rangeOf(element, start, end) {
  const range = document.createRange();
  const nodes = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let passed = 0;
  let hasStart = false;
  while (nodes.nextNode()) {
    const node = nodes.currentNode;
    if (!hasStart && start < passed + node.length) {
      range.setStart(node, start - passed);
      hasStart = true;
    }
    if (hasStart && end <= passed + node.length) {
      range.setEnd(node, end - passed);
      return range;
    }
    passed += node.length;
  }
  return null;
}

// The index of the character at a point of an element; null outside its text.
export function characterAt(element, x, y) {
  const position = document.caretPositionFromPoint
    ? document.caretPositionFromPoint(x, y)
    : document.caretRangeFromPoint?.(x, y);
  const node = position?.offsetNode ?? position?.startContainer;
  if (!node || !element.contains(node)) return null;
  const before = document.createRange();
  before.setStart(element, 0);
  before.setEnd(node, position.offset ?? position.startOffset);
  return before.toString().length;
}

// Highlights ranges without changing the page; does nothing in browsers without support.
export function highlight(name, ranges) {
  if (!globalThis.CSS?.highlights) return;
  if (ranges.length) CSS.highlights.set(name, new Highlight(...ranges));
  else CSS.highlights.delete(name);
}
