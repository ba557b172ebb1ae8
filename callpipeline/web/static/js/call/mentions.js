// The mentions: marks in the lanes, jumps between them, and what is known of one beside its word.
import { lastNotAfter, secondOf } from "./clock.js";

const REJECTED = "rejected";
const beside = matchMedia("(width >= 1000px)"); // the list stands beside the transcript

export class Mentions {
  constructor({ player, lanes, transcript }) {
    this.player = player;
    this.lanes = lanes;
    this.transcript = transcript;
    this.about = document.getElementById("about");
    document.addEventListener("click", (event) => this.#clicked(event));
    document.addEventListener("htmx:after:swap", () => (this.read(), this.#goOn()));
    document.addEventListener("htmx:before:request", () => this.about.hidePopover?.());
    for (const jump of document.querySelectorAll("[data-jump]")) {
      jump.addEventListener("click", () => this.jump(Number(jump.dataset.jump)));
    }
    this.read();
  }

  // From the list, which is the server's: also after something was accepted or refused.
  read() {
    const entries = [...document.querySelectorAll("#mentions .entry")];
    const all = entries.map((entry) => ({
      number: entry.dataset.m,
      at: Number(entry.dataset.t),
      speaker: entry.dataset.speaker,
      look: entry.dataset.look,
      label: entry.dataset.label,
    }));
    this.shown = all.filter((one) => one.look !== REJECTED).sort((a, b) => a.at - b.at);
    this.begins = this.shown.map((one) => one.at);
    for (const { number, look } of all) {
      const word = document.querySelector(`#lines [data-m="${number}"]`);
      if (word) word.className = `named ${look}`;
    }
    this.lanes?.mark(this.shown, (one) => this.choose(one));
  }

  // The button that had the focus is gone with its decision: the next one gets it.
  #goOn() {
    if (document.activeElement !== document.body) return;
    document.querySelector("#mentions .decide button")?.focus({ preventScroll: true });
  }

  jump(by) {
    if (!this.shown.length || !this.player) return;
    const here = lastNotAfter(this.begins, this.player.at + 0.05);
    const before = here >= 0 && Math.abs(this.begins[here] - this.player.at) < 0.3 ? here - 1 : here;
    const to = by > 0 ? here + 1 : before;
    const one = this.shown[to];
    if (one) this.choose(one);
    else this.player.say(by > 0 ? "No mention after this." : "No mention before this.");
  }

  choose(one, { isInView = false } = {}) {
    this.player?.seek(one.at);
    this.player?.say(one.label);
    for (const old of document.querySelectorAll(".chosen")) old.classList.remove("chosen");
    for (const part of document.querySelectorAll(`[data-m="${one.number}"]`)) part.classList.add("chosen");
    if (beside.matches) document.getElementById(`m${one.number}`)?.scrollIntoView({ block: "nearest" });
    const word = document.querySelector(`#lines [data-m="${one.number}"]`);
    if (!isInView) this.transcript?.show(word?.closest("li"));
  }

  #clicked(event) {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    const link = event.target.closest?.("#lines a.named, #mentions .entry .quote a");
    if (!link) return;
    const number = link.dataset.m ?? link.closest(".entry").dataset.m;
    const entry = document.getElementById(`m${number}`);
    if (!entry) return;
    event.preventDefault();
    const isInView = link.classList.contains("named");
    this.choose({ number, at: secondOf(link.href), label: entry.dataset.label }, { isInView });
    if (isInView) this.#tell(link, entry);
    else this.player?.play();
  }

  // What the list says of a mention, beside its word; the list may be far away.
  #tell(word, entry) {
    if (!this.about.showPopover) return;
    const copy = entry.cloneNode(true);
    copy.removeAttribute("id");
    copy.classList.remove("chosen");
    const why = copy.querySelector(".why");
    why?.replaceWith(why.querySelector("dl"));
    const close = document.createElement("button");
    close.type = "button";
    close.className = "quiet close";
    close.textContent = "Close";
    close.addEventListener("click", () => (this.about.hidePopover(), word.focus()));
    const box = document.createElement("div");
    box.className = copy.className;
    box.append(...copy.childNodes, close);
    this.about.replaceChildren(box);
    globalThis.htmx?.process(this.about);
    this.about.showPopover();
    this.#place(word);
  }

  #place(word) {
    const { left, top, bottom } = word.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = this.about;
    const below = bottom + offsetHeight + 8 < innerHeight;
    this.about.style.left = `${Math.max(8, Math.min(left, innerWidth - offsetWidth - 8))}px`;
    this.about.style.top = `${below ? bottom + 6 : Math.max(8, top - offsetHeight - 6)}px`;
  }
}


