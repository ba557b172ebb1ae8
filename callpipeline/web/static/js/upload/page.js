// The upload page: files are dropped or chosen, and uploaded three at a time.
import { droppedFiles, formatBytes, rejection } from "./files.js";
import { newKey, upload } from "./request.js";

const MAX_CONCURRENT = 3;
const form = document.querySelector("#upload");
const input = form.querySelector("input[type=file]");
const dropZone = form.querySelector(".drop-zone");
const uploads = document.querySelector("#uploads");
const summary = document.querySelector("#summary");
const template = document.querySelector("#upload-template");
const limits = {
  maxBytes: Number(form.dataset.maxBytes),
  audioSuffixes: new Set(form.dataset.audioSuffixes.split(" ")),
  ignoredSuffixes: new Set(form.dataset.ignoredSuffixes.split(" ")),
};
const items = [];

// What the form says about the call when its file is chosen; retries send the same.
function fieldsOfCall() {
  const inputs = form.querySelectorAll(".call-details [name]");
  return [...inputs].filter((field) => field.value.trim()).map((field) => [field.name, field.value]);
}

class UploadItem {
  constructor(file) {
    this.file = file;
    this.fields = fieldsOfCall();
    this.key = newKey();
    this.element = template.content.firstElementChild.cloneNode(true);
    this.progress = this.element.querySelector("progress");
    this.status = this.element.querySelector(".status");
    this.retryButton = this.element.querySelector(".retry");
    this.cancelButton = this.element.querySelector(".cancel");
    this.element.querySelector(".name").textContent = file.name;
    this.progress.setAttribute("aria-label", `Uploading ${file.name}`);
    this.retryButton.setAttribute("aria-label", `Retry ${file.name}`);
    this.cancelButton.setAttribute("aria-label", `Cancel ${file.name}`);
    this.retryButton.addEventListener("click", () => this.enqueue());
    this.cancelButton.addEventListener("click", () => this.end("cancelled", "Cancelled"));
  }

  // States: queued, uploading, done, rejected, failed, cancelled.
  show(state, text) {
    this.state = this.element.dataset.state = state;
    this.status.replaceChildren(text);
    this.retryButton.hidden = state !== "failed" && state !== "cancelled";
    this.cancelButton.hidden = state !== "queued" && state !== "uploading";
    this.progress.hidden = this.cancelButton.hidden;
  }

  enqueue() {
    this.show("queued", `Queued, ${formatBytes(this.file.size)}`);
    this.progress.value = 0;
    startNext();
  }

  end(state, text) {
    this.show(state, text);
    this.aborting?.abort();
    startNext();
  }

  async start() {
    const aborting = this.aborting = new AbortController();
    this.show("uploading", "Uploading…");
    const token = form.elements.csrf_token?.value;
    const report = (...progress) => aborting.signal.aborted || this.report(...progress);
    const outcome = await upload(this.file, this.fields, this.key, token, report, aborting.signal);
    if (aborting.signal.aborted) return;
    if (outcome.callId) this.finish(outcome);
    else if (outcome.rejected) this.end("rejected", outcome.rejected);
    else this.end("failed", `${outcome.failed || "No response."} Several attempts failed.`);
  }

  report(step, amount, reason) {
    if (step === "uploading") {
      this.progress.value = amount / this.file.size;
      this.status.textContent = `Uploading, ${formatBytes(amount)} of ${formatBytes(this.file.size)}`;
    } else if (step === "saving") {
      this.progress.removeAttribute("value");
      this.status.textContent = "Uploaded, saving…";
    } else {
      this.status.textContent = `${reason} Retrying in ${amount} s`;
    }
  }

  finish({ callId, message }) {
    const link = document.createElement("a");
    link.href = `/calls/${encodeURIComponent(callId)}`;
    link.textContent = "Open call";
    this.end("done", "");
    this.status.replaceChildren(`${message} `, link);
  }
}

function startNext() {
  const free = MAX_CONCURRENT - count("uploading");
  const queued = items.filter((item) => item.state === "queued");
  for (const item of queued.slice(0, Math.max(0, free))) item.start();
  const parts = [`${count("done")} of ${items.length} uploaded`];
  if (count("rejected")) parts.push(`${count("rejected")} rejected`);
  if (count("failed")) parts.push(`${count("failed")} failed`);
  if (count("cancelled")) parts.push(`${count("cancelled")} cancelled`);
  const left = count("queued") + count("uploading");
  if (left) parts.push(`${left} left`);
  const text = parts.join(", ");
  if (summary.textContent !== text) summary.textContent = text;
}

function count(state) {
  return items.filter((item) => item.state === state).length;
}

function add(files) {
  for (const file of files) {
    const item = new UploadItem(file);
    items.push(item);
    uploads.querySelector("ul").append(item.element);
    const reason = rejection(file, limits);
    if (reason) item.show("rejected", reason);
    else item.show("queued", `Queued, ${formatBytes(file.size)}`);
  }
  uploads.hidden = items.length === 0;
  startNext();
}

function onDrag(isOver) {
  return (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    dropZone.classList.toggle("drag-over", isOver);
  };
}

document.documentElement.classList.add("scripted");
input.multiple = true;
input.addEventListener("change", () => {
  add([...input.files]);
  form.reset();
});
form.addEventListener("submit", (event) => event.preventDefault());
// On the whole page: a file dropped outside the zone would replace the page.
document.addEventListener("dragover", onDrag(true));
document.addEventListener("dragleave", onDrag(false));
document.addEventListener("drop", async (event) => {
  onDrag(false)(event);
  add(await droppedFiles(event.dataTransfer));
});
window.addEventListener("beforeunload", (event) => {
  if (count("queued") + count("uploading")) event.preventDefault();
});
