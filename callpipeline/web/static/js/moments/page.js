// Lists of moments: playback in the list, keyboard, selection. Used by every page with such a list.
import { showDecisionErrors } from "../call/errors.js";
import { addShortcuts } from "../call/shortcuts.js";
import { ClipPlayer } from "./player.js";

const player = new ClipPlayer();
const moments = () => [...document.querySelectorAll("[data-moment]")];
const playLink = (moment) => moment?.querySelector("a[data-clip]");
let currentId = null;

const current = () => (currentId && document.getElementById(currentId)) || null;

function select(moment, { focus = true } = {}) {
  if (!moment) return;
  current()?.classList.remove("current");
  currentId = moment.id;
  moment.classList.add("current");
  if (focus) moment.focus({ preventScroll: true });
  if (focus) moment.scrollIntoView({ block: "nearest" });
}

function move(by) {
  const all = moments();
  const at = all.indexOf(current());
  select(at < 0 ? all[0] : all[at + by]);
}

const press = (selector) => () => current()?.querySelector(selector)?.click();

function relabel() {
  const choices = current()?.querySelector("details.relabel");
  if (!choices) return;
  choices.open = !choices.open;
  (choices.open ? choices.querySelector("button") : current()).focus();
}

function play() {
  if (!current()) select(moments()[0]);
  if (player.isPlaying && player.link !== playLink(current())) player.toggle(player.link);
  else player.toggle(playLink(current()));
}

addShortcuts({
  j: () => move(1),
  k: () => move(-1),
  " ": play,
  c: press("button[value=confirm]"),
  d: press("button[value=dismiss]"),
  u: press("button[value=undo]"),
  r: relabel,
  x: press("input[type=checkbox]"),
});
showDecisionErrors();

document.addEventListener("focusin", ({ target }) => select(target.closest("[data-moment]"), { focus: false }));
// A decision replaces its moment, which loses the focus.
document.addEventListener("htmx:after:swap", () => {
  const moment = current();
  if (moment && (!document.activeElement || document.activeElement === document.body)) select(moment);
});

// Playing all, or the selected ones, in turn.
let queue = [];
const checked = () => moments().filter((each) => each.querySelector("input[type=checkbox]")?.checked);

function playNext() {
  const moment = queue.shift();
  if (!moment) return;
  select(moment);
  player.play(playLink(moment));
}

for (const reason of ["ended", "failed"]) player.addEventListener(reason, playNext);
player.audio.addEventListener("pause", () => player.audio.ended || (queue = []));

const form = document.getElementById("selection");
if (form) {
  const [playAll, copy] = [document.getElementById("play-all"), document.getElementById("copy-link")];
  const status = document.getElementById("selected");
  for (const button of form.querySelectorAll("button[hidden]")) button.hidden = false;
  const showSelection = () => {
    const count = checked().length;
    playAll.textContent = count ? "Play selected" : "Play all";
    status.textContent = count ? `${count} selected` : "";
  };
  document.addEventListener("change", showSelection);
  showSelection();
  playAll.addEventListener("click", () => {
    const chosen = checked();
    queue = chosen.length ? chosen : moments();
    playNext();
  });
  copy.addEventListener("click", async () => {
    const link = new URL("/moments", location.origin);
    for (const [name, value] of new FormData(form)) link.searchParams.append(name, value);
    try {
      await navigator.clipboard.writeText(link.href);
      status.textContent = "Link copied";
    } catch {
      history.replaceState(null, "", link); // no permission: the address bar has the link
      status.textContent = "The link is in the address bar";
    }
  });
}
