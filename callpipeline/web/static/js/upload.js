// The upload page: files by dropping or choosing, three at a time, a line and a bar for each.
import { dropped, megabytes, whyNot } from "./picking.js";
import { newKey, send } from "./sending.js";

const AT_ONCE = 3;
const form = document.querySelector("#upload");
const input = form.querySelector("input[type=file]");
const zone = form.querySelector(".zone");
const sent = document.querySelector("#sent");
const summary = document.querySelector("#summary");
const template = document.querySelector("#upload-line");
const limits = {
  mostBytes: Number(form.dataset.mostBytes),
  endings: new Set(form.dataset.endings.split(" ")),
  otherEndings: new Set(form.dataset.otherEndings.split(" ")),
};
const lines = [];

class Line {
  constructor(file) {
    this.file = file;
    this.key = newKey();
    this.element = template.content.firstElementChild.cloneNode(true);
    this.bar = this.element.querySelector("progress");
    this.what = this.element.querySelector(".what");
    this.again = this.element.querySelector(".again");
    this.stop = this.element.querySelector(".stop");
    this.element.querySelector(".name").textContent = file.name;
    this.bar.setAttribute("aria-label", `Sending ${file.name}`);
    this.again.setAttribute("aria-label", `Try ${file.name} again`);
    this.stop.setAttribute("aria-label", `Stop ${file.name}`);
    this.again.addEventListener("click", () => this.wait());
    this.stop.addEventListener("click", () => this.end("stopped", "Stopped."));
  }

  // Shown as: waiting, sending, accepted, refused, lost, stopped.
  show(state, text) {
    this.state = this.element.dataset.state = state;
    this.what.replaceChildren(text);
    this.again.hidden = state !== "lost" && state !== "stopped";
    this.stop.hidden = state !== "waiting" && state !== "sending";
    this.bar.hidden = this.stop.hidden;
  }

  wait() {
    this.show("waiting", `Waiting, ${megabytes(this.file.size)}`);
    this.bar.value = 0;
    goOn();
  }

  end(state, text) {
    this.show(state, text);
    this.aborting?.abort();
    goOn();
  }

  async send() {
    const aborting = this.aborting = new AbortController();
    this.show("sending", "Sending");
    const token = form.elements.csrf_token?.value;
    const tell = (...what) => aborting.signal.aborted || this.tell(...what);
    const outcome = await send(this.file, this.key, token, tell, aborting.signal);
    if (aborting.signal.aborted) return;
    if (outcome.call) this.accept(outcome);
    else if (outcome.refused) this.end("refused", outcome.refused);
    else this.end("lost", `${outcome.lost || "Nothing came back."} It was tried several times.`);
  }

  tell(what, amount, reason) {
    if (what === "sending") {
      this.bar.value = amount / this.file.size;
      this.what.textContent = `Sending, ${megabytes(amount)} of ${megabytes(this.file.size)}`;
    } else if (what === "storing") {
      this.bar.removeAttribute("value");
      this.what.textContent = "Arrived, being stored";
    } else {
      this.what.textContent = `${reason} Tried again in ${amount} s.`;
    }
  }

  accept({ call, message }) {
    const link = document.createElement("a");
    link.href = `/calls/${encodeURIComponent(call)}`;
    link.textContent = "Open its call";
    this.end("accepted", "");
    this.what.replaceChildren(`${message} `, link);
  }
}

function goOn() {
  const free = AT_ONCE - count("sending");
  for (const line of lines.filter((each) => each.state === "waiting").slice(0, Math.max(0, free))) line.send();
  const parts = [`${count("accepted")} of ${lines.length} accepted`];
  if (count("refused")) parts.push(`${count("refused")} refused`);
  if (count("lost")) parts.push(`${count("lost")} could not be sent`);
  if (count("stopped")) parts.push(`${count("stopped")} stopped`);
  const left = count("waiting") + count("sending");
  if (left) parts.push(`${left} to go`);
  const said = `${parts.join(", ")}.`;
  if (summary.textContent !== said) summary.textContent = said;
}

function count(state) {
  return lines.filter((line) => line.state === state).length;
}

function take(files) {
  for (const file of files) {
    const line = new Line(file);
    lines.push(line);
    sent.querySelector("ul").append(line.element);
    const reason = whyNot(file, limits);
    if (reason) line.show("refused", reason);
    else line.show("waiting", `Waiting, ${megabytes(file.size)}`);
  }
  sent.hidden = lines.length === 0;
  goOn();
}

function drag(isOver) {
  return (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    zone.classList.toggle("over", isOver);
  };
}

document.documentElement.classList.add("scripted");
input.multiple = true;
input.addEventListener("change", () => {
  take([...input.files]);
  form.reset();
});
form.addEventListener("submit", (event) => event.preventDefault());
// All over the page: what is dropped beside the zone would replace the page else.
document.addEventListener("dragover", drag(true));
document.addEventListener("dragleave", drag(false));
document.addEventListener("drop", async (event) => {
  drag(false)(event);
  take(await dropped(event.dataTransfer));
});
window.addEventListener("beforeunload", (event) => {
  if (count("waiting") + count("sending")) event.preventDefault();
});
