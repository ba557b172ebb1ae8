// Which files a person means, and which of them are refused before anything is sent.
const OTHER_TYPES = /^(image|text|font|model)\/|^application\/(pdf|zip|json|xml|gzip|msword|vnd\.|x-(zip|tar|7z|rar|msdownload|sh))/;
const MOST_FILES = 5000;

export function megabytes(bytes) {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

// Why a file is not sent, as a sentence; empty where it is.
export function whyNot(file, limits) {
  const ending = (/\.[^.]+$/.exec(file.name.toLowerCase()) || [""])[0];
  if (file.size === 0) return "The file is empty.";
  if (file.size > limits.mostBytes) {
    return `The file has ${megabytes(file.size)}; ${megabytes(limits.mostBytes)} is the most that is taken.`;
  }
  if (limits.endings.has(ending)) return "";
  if (limits.otherEndings.has(ending) || OTHER_TYPES.test(file.type)) {
    return "By its name this is no recording. Send WAV, MP3, M4A, FLAC, Ogg or Opus.";
  }
  return "";
}

// The files that were dropped, also those in folders; what is hidden in them is left out.
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const files = [];
  for (const entry of entries) await gather(entry, files);
  return files;
}

async function gather(entry, files) {
  if (files.length >= MOST_FILES || entry.name.startsWith(".")) return;
  if (entry.isFile) {
    files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    return;
  }
  const reader = entry.createReader();
  for (;;) { // a reader gives a hundred entries at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const each of some) await gather(each, files);
  }
}
