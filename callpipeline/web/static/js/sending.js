// One file on its way to the server: sent, and sent again under the same key when the network goes.
const WAITS_S = [1, 3, 10, 30, 60];

// Only https and this machine are given crypto.randomUUID.
export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Resolves to {call, message} or {refused}, or to {lost} where it may be tried again by hand.
// `tell` hears ("sending", bytes), ("storing") and ("waiting", seconds, reason).
export async function send(file, key, token, tell, signal) {
  for (let tries = 0; ; tries++) {
    const outcome = await once(file, key, token, tell, signal);
    if (!outcome.again || signal.aborted) return outcome;
    if (tries === WAITS_S.length) return { lost: outcome.again };
    const seconds = Math.max(WAITS_S[tries], Math.min(outcome.after || 0, 120));
    tell("waiting", seconds, outcome.again);
    await rest(seconds, signal);
    if (signal.aborted) return { stopped: true };
  }
}

function rest(seconds, signal) {
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

function once(file, key, token, tell, signal) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/upload");
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Idempotency-Key", key);
    if (token) request.setRequestHeader("X-CSRF-Token", token);
    request.upload.onprogress = (event) => tell("sending", Math.min(event.loaded, file.size));
    request.upload.onload = () => tell("storing");
    request.onload = () => resolve(outcomeOf(request));
    request.onerror = () => resolve({ again: "The connection was lost." });
    request.onabort = () => resolve({ stopped: true });
    signal.addEventListener("abort", () => request.abort(), { once: true });
    const form = new FormData();
    form.append("file", file, file.name);
    request.send(form);
  });
}

function outcomeOf(request) {
  const said = parsed(request.responseText);
  if (request.status === 200 || request.status === 201 || request.status === 202) {
    return { call: said.job_id, message: said.message };
  }
  const detail = said.detail || `The server answered ${request.status}.`;
  const after = Number(request.getResponseHeader("Retry-After"));
  if (after || [408, 429, 502, 503, 504].includes(request.status)) return { again: detail, after };
  if (request.status === 401) return { refused: "You are logged out: load this page again, and log in." };
  return { refused: detail };
}

function parsed(text) {
  try {
    return JSON.parse(text) || {};
  } catch {
    return {};
  }
}
