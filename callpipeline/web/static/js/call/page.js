// The page of a call. Each part works without the others: audio or transcript may be deleted, and
// without scripts there are native controls and plain links.
import { showDecisionErrors } from "./errors.js";
import { Mentions } from "./mentions.js";
import { Player } from "./player.js";
import { Search } from "./search.js";
import { addShortcuts } from "./shortcuts.js";
import { WordTimes } from "./text.js";
import { Transcript } from "./transcript.js";

const section = document.querySelector("#player[data-duration]");
const player = section && new Player(section);
const list = document.getElementById("lines");
const wordTimes = new WordTimes();
const transcript = list && new Transcript(list, wordTimes);
const search = transcript && new Search(transcript);
if (player) transcript?.connect(player);
const mentions = new Mentions({ player, transcript, waveform: null });

showDecisionErrors();
addShortcuts({
  ...(player && {
    " ": () => player.toggle(),
    ArrowLeft: () => player.skip(-5),
    ArrowRight: () => player.skip(5),
    "[": () => mentions.jump(-1),
    "]": () => mentions.jump(1),
  }),
  ...(player && transcript && {
    "shift ArrowLeft": () => transcript.step(-1),
    "shift ArrowRight": () => transcript.step(1),
    f: () => transcript.toggleAutoScroll(),
  }),
  ...(search && { "/": () => search.focus() }),
});

const wordsUrl = document.getElementById("transcript")?.dataset.words;
if (player && wordsUrl) {
  wordTimes.load(wordsUrl).then(() => player.dispatchEvent(new Event("time")), () => {});
}
if (player) loadWaveform().catch(() => {});
const controls = document.getElementById("controls");
if (section && controls) {
  const observer = new ResizeObserver(setPlayerHeight);
  for (const each of [section, controls]) observer.observe(each);
}

// Sticky elements below the player, and scrolling into view, depend on its height. On small screens only
// its controls are sticky.
function setPlayerHeight() {
  const height = section.offsetHeight || controls.offsetHeight;
  document.documentElement.style.setProperty("--player-height", `${height}px`);
}

// Loaded last: everything else works without it.
async function loadWaveform() {
  const { Waveform, loadPeaks } = await import("./waveform.js");
  mentions.waveform = new Waveform(player, await loadPeaks(section.dataset.peaks));
  mentions.read();
}
