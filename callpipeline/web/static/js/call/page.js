// The page of one call. Each part works without the others: a call may have lost its sound, or its
// transcript, and without scripts there are the browser's own controls and plain links.
import { listenToKeys } from "./keys.js";
import { Mentions } from "./mentions.js";
import { Player } from "./player.js";
import { tellOfRefusals } from "./refusals.js";
import { Search } from "./search.js";
import { Transcript } from "./transcript.js";
import { Words } from "./words.js";

const section = document.querySelector("#player[data-duration]");
const player = section && new Player(section);
const list = document.getElementById("lines");
const words = new Words();
const transcript = list && new Transcript(list, words);
const search = transcript && new Search(transcript);
if (player) transcript?.listen(player);
const mentions = new Mentions({ player, transcript, lanes: null });

tellOfRefusals();
listenToKeys({
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
    f: () => transcript.toggleFollow(),
  }),
  ...(search && { "/": () => search.begin() }),
});

const loaded = document.getElementById("said")?.dataset.words;
if (player && loaded) {
  words.load(loaded).then(() => player.dispatchEvent(new Event("time")), () => {});
}
if (player) draw().catch(() => {});
if (section) new ResizeObserver(measure).observe(section);

// What is sticky below the player, or comes into view, has to know how high it is.
function measure() {
  document.documentElement.style.setProperty("--player-height", `${section.offsetHeight}px`);
}

// The waveform comes last: everything else works without it.
async function draw() {
  const { Lanes, loadPeaks } = await import("./lanes.js");
  mentions.lanes = new Lanes(player, await loadPeaks(section.dataset.peaks));
  mentions.read();
}
