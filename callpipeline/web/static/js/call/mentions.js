// Mentions: markers in the waveform, jumps between them, and a popup in the transcript.
import { lastIndexAt, secondOf } from "./time.js";

const DISMISSED = "dismissed";
const isWide = matchMedia("(width >= 1000px)"); // the list is next to the transcript

export class Mentions {
  constructor({ player, waveform, transcript }) {
    this.player = player;
    this.waveform = waveform;
    this.transcript = transcript;
    this.popup = document.getElementById("mention-popup");
    document.addEventListener("click", (event) => this.#onClick(event));
    document.addEventListener("htmx:after:swap", () => (this.read(), this.#restoreFocus()));
    document.addEventListener("htmx:before:request", () => this.popup.hidePopover?.());
    for (const button of document.querySelectorAll("[data-jump]")) {
      button.addEventListener("click", () => this.jump(Number(button.dataset.jump)));
    }
    this.read();
  }

  // Reads the mentions from the list, which the server renders again after a decision.
  read() {
    const entries = [...document.querySelectorAll("#mentions .entry")];
    const all = entries.map((entry) => ({
      number: entry.dataset.m,
      at: Number(entry.dataset.t),
      speaker: entry.dataset.speaker,
      kind: entry.dataset.kind,
      description: entry.dataset.description,
    }));
    this.shown = all.filter((mention) => mention.kind !== DISMISSED).sort((a, b) => a.at - b.at);
    this.starts = this.shown.map((mention) => mention.at);
    for (const { number, kind } of all) {
      const link = document.querySelector(`#lines [data-m="${number}"]`);
      if (link) link.className = `mention ${kind}`;
    }
    this.waveform?.showMarkers(this.shown, (mention) => this.select(mention));
  }

  // The focused button was replaced after a decision: focus the next one.
  #restoreFocus() {
    if (document.activeElement !== document.body) return;
    document.querySelector("#mentions .decision button")?.focus({ preventScroll: true });
  }

  jump(by) {
    if (!this.shown.length || !this.player) return;
    const current = lastIndexAt(this.starts, this.player.at + 0.05);
    const isAt = current >= 0 && Math.abs(this.starts[current] - this.player.at) < 0.3;
    const previous = isAt ? current - 1 : current;
    const mention = this.shown[by > 0 ? current + 1 : previous];
    if (mention) this.select(mention);
    else this.player.announce(by > 0 ? "No more mentions" : "No earlier mentions");
  }

  select(mention, { isInView = false } = {}) {
    this.player?.seek(mention.at);
    this.player?.announce(mention.description);
    for (const old of document.querySelectorAll(".selected")) old.classList.remove("selected");
    for (const part of document.querySelectorAll(`[data-m="${mention.number}"]`)) part.classList.add("selected");
    if (isWide.matches) document.getElementById(`m${mention.number}`)?.scrollIntoView({ block: "nearest" });
    const link = document.querySelector(`#lines [data-m="${mention.number}"]`);
    if (!isInView) this.transcript?.show(link?.closest("li"));
  }

  #onClick(event) {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    const link = event.target.closest?.("#lines a.mention, #mentions .entry .meta a");
    if (!link) return;
    const number = link.dataset.m ?? link.closest(".entry").dataset.m;
    const entry = document.getElementById(`m${number}`);
    if (!entry) return;
    event.preventDefault();
    const isInView = link.classList.contains("mention");
    const { description } = entry.dataset;
    this.select({ number, at: secondOf(link.href), description }, { isInView });
    if (isInView) this.#showPopup(link, entry);
    else this.player?.play();
  }

  // Shows the entry of the list next to the mention in the transcript.
  #showPopup(link, entry) {
    if (!this.popup.showPopover) return;
    const copy = entry.cloneNode(true);
    copy.removeAttribute("id");
    copy.classList.remove("selected");
    const why = copy.querySelector(".why");
    why?.replaceWith(why.querySelector("dl"));
    const close = document.createElement("button");
    close.type = "button";
    close.className = "subtle close";
    close.textContent = "Close";
    close.addEventListener("click", () => (this.popup.hidePopover(), link.focus()));
    const box = document.createElement("div");
    box.className = copy.className;
    box.append(...copy.childNodes, close);
    this.popup.replaceChildren(box);
    globalThis.htmx?.process(this.popup);
    this.popup.showPopover();
    this.#positionPopup(link);
  }

  #positionPopup(link) {
    const { left, top, bottom } = link.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = this.popup;
    const fitsBelow = bottom + offsetHeight + 8 < innerHeight;
    this.popup.style.left = `${Math.max(8, Math.min(left, innerWidth - offsetWidth - 8))}px`;
    this.popup.style.top = `${fitsBelow ? bottom + 6 : Math.max(8, top - offsetHeight - 6)}px`;
  }
}
