// Uploads one file and fields about its call, with retries under the same idempotency key.
const BACKOFF_S = [1, 3, 10, 30, 60];

// crypto.randomUUID is only available over HTTPS and on localhost.
export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Resolves to {callId, message}, {rejected: reason}, {failed: reason} or {cancelled: true}.
// `report` is called with ("uploading", bytes), ("saving") and ("retrying", seconds, reason).
export async function upload(file, fields, key, token, report, signal) {
  for (let attempt = 0; ; attempt++) {
    const outcome = await send(file, fields, key, token, report, signal);
    if (!outcome.transient || signal.aborted) return outcome;
    if (attempt === BACKOFF_S.length) return { failed: outcome.transient };
    const seconds = Math.max(BACKOFF_S[attempt], Math.min(outcome.retryAfter || 0, 120));
    report("retrying", seconds, outcome.transient);
    await sleep(seconds, signal);
    if (signal.aborted) return { cancelled: true };
  }
}

function sleep(seconds, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    window.addEventListener("online", done);
    signal.addEventListener("abort", done, { once: true });
  });
}

function send(file, fields, key, token, report, signal) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/upload");
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Idempotency-Key", key);
    if (token) request.setRequestHeader("X-CSRF-Token", token);
    request.upload.onprogress = (event) => report("uploading", Math.min(event.loaded, file.size));
    request.upload.onload = () => report("saving");
    request.onload = () => resolve(outcomeOf(request));
    request.onerror = () => resolve({ transient: "Connection lost." });
    request.onabort = () => resolve({ cancelled: true });
    signal.addEventListener("abort", () => request.abort(), { once: true });
    const form = new FormData();
    for (const [name, value] of fields) form.append(name, value);
    form.append("file", file, file.name);
    request.send(form);
  });
}

function outcomeOf(request) {
  const reply = parseJson(request.responseText);
  if (request.status === 200 || request.status === 201 || request.status === 202) {
    return { callId: reply.job_id, message: reply.message };
  }
  const detail = reply.detail || `Server error ${request.status}.`;
  const retryAfter = Number(request.getResponseHeader("Retry-After"));
  if (retryAfter || [408, 429, 502, 503, 504].includes(request.status)) {
    return { transient: detail, retryAfter };
  }
  if (request.status === 401) return { rejected: "You're logged out. Reload the page to log in." };
  return { rejected: detail };
}

function parseJson(text) {
  try {
    return JSON.parse(text) || {};
  } catch {
    return {};
  }
}
