// Chosen and dropped files, and checks before they are uploaded.
const OTHER_TYPES = /^(image|text|font|model)\/|^application\/(pdf|zip|json|xml|gzip|msword|vnd\.|x-(zip|tar|7z|rar|msdownload|sh))/;
const MAX_FILES = 5000;

export function formatBytes(bytes) {
  const [amount, unit] = bytes >= 1e9 ? [bytes / 1e9, "GB"] : [bytes / 1e6, "MB"];
  return `${amount.toFixed(1).replace(/\.0$/, "")} ${unit}`;
}

// The reason why a file can't be uploaded; empty if it can.
export function rejection(file, limits) {
  const suffix = (/\.[^.]+$/.exec(file.name.toLowerCase()) || [""])[0];
  if (file.size === 0) return "This file is empty.";
  if (file.size > limits.maxBytes) {
    return `This file is ${formatBytes(file.size)}; the limit is ${formatBytes(limits.maxBytes)}.`;
  }
  if (limits.audioSuffixes.has(suffix)) return "";
  if (limits.ignoredSuffixes.has(suffix) || OTHER_TYPES.test(file.type)) {
    return "Not an audio file. Use WAV, MP3, M4A, FLAC, Ogg or Opus.";
  }
  return "";
}

// The dropped files, including those in folders; hidden files are left out.
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const files = [];
  for (const entry of entries) await collect(entry, files);
  return files;
}

async function collect(entry, files) {
  if (files.length >= MAX_FILES || entry.name.startsWith(".")) return;
  if (entry.isFile) {
    files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    return;
  }
  const reader = entry.createReader();
  for (;;) { // a reader returns up to 100 entries at a time
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return;
    for (const each of batch) await collect(each, files);
  }
}
