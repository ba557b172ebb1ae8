// When each word of each segment begins: loaded after the page, looked up by place in its text.
import { lastNotAfter } from "./clock.js";

export class Words {
  #begins = {};

  // `{left: [[milliseconds of each word], …], …}`; a segment whose words have no times has none.
  async load(url) {
    const reply = await fetch(url);
    if (reply.ok) this.#begins = await reply.json();
  }

  // The beginnings in seconds of the words of a segment, or nothing.
  of(line) {
    const begins = this.#begins[line.dataset.c]?.[Number(line.dataset.i)];
    return begins?.length ? begins : null;
  }

  // When the word at a character of the segment's text begins; its own beginning where not known.
  secondAt(line, character) {
    const begins = this.of(line);
    if (!begins) return Number(line.dataset.t);
    const before = textOf(line).slice(0, character).split(" ").length - 1;
    return begins[Math.min(before, begins.length - 1)] / 1000;
  }

  // The word that is said at a second, as a range of the text; null before the first.
  rangeAt(line, second) {
    const begins = this.of(line);
    const place = begins ? lastNotAfter(begins, second * 1000 + 1) : -1;
    if (place < 0) return null;
    const words = textOf(line).split(" ");
    const start = words.slice(0, place).reduce((length, word) => length + word.length + 1, 0);
    return rangeOf(line.querySelector("p"), start, start + words[place].length);
  }
}

export const textOf = (line) => line.querySelector("p").textContent;

// Characters of an element's text, which may lie in several text nodes.
export function rangeOf(element, start, end) {
  const range = document.createRange();
  const nodes = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let passed = 0;
  let begun = false;
  while (nodes.nextNode()) {
    const node = nodes.currentNode;
    if (!begun && start < passed + node.length) {
      range.setStart(node, start - passed);
      begun = true;
    }
    if (begun && end <= passed + node.length) {
      range.setEnd(node, end - passed);
      return range;
    }
    passed += node.length;
  }
  return null;
}

// Which character of an element's text lies under a point; null beside it.
export function characterAt(element, x, y) {
  const place = document.caretPositionFromPoint
    ? document.caretPositionFromPoint(x, y)
    : document.caretRangeFromPoint?.(x, y);
  const node = place?.offsetNode ?? place?.startContainer;
  if (!node || !element.contains(node)) return null;
  const before = document.createRange();
  before.setStart(element, 0);
  before.setEnd(node, place.offset ?? place.startOffset);
  return before.toString().length;
}
