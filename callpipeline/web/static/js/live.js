// Live updates. The server streams changes, which hx-sse applies; while no event arrives (for example
// behind a buffering proxy), the page polls every five seconds.
const POLL_MS = 5000;
const FIRST_EVENT_TIMEOUT_MS = 8000;
const RECONNECT_MS = 60000;
const COUNT_LIMIT = 12; // the server counts no further
const FINAL = new Set(["COMPLETED", "FAILED", "DUPLICATE", "ERASED"]);

const live = document.querySelector("#live");
let isStreaming = false;
let polling = 0;

async function poll() {
  if (document.hidden || isStreaming) return;
  let reply;
  try {
    reply = await fetch(location.href, { headers: { Accept: "text/html" } });
  } catch {
    return; // offline: the next poll retries
  }
  if (!reply.ok || reply.redirected || isStreaming) return;
  const part = live.dataset.part;
  const updated = new DOMParser().parseFromString(await reply.text(), "text/html").querySelector(part);
  const current = document.querySelector(part);
  if (!updated || !current) return;
  if (FINAL.has(updated.dataset.state)) return location.reload();
  htmx.swap({ text: updated.outerHTML, target: current, swap: "outerMorph", sourceElement: live });
}

function startPolling() {
  isStreaming = false;
  polling ||= setInterval(poll, POLL_MS);
}

function stopPolling() {
  isStreaming = true;
  clearInterval(polling);
  polling = 0;
}

function reconnect() {
  if (document.hidden || !polling || live._htmx?.sse) return;
  htmx.ajax("GET", live.getAttribute("hx-sse:connect"), { source: live, swap: "none" });
}

function showNewCalls(event) {
  const notice = document.querySelector("#new-calls a");
  if (!notice) return;
  const count = Number(event.detail.data);
  const many = count >= COUNT_LIMIT ? `${COUNT_LIMIT}+` : count;
  notice.textContent = `${many} new call${count === 1 ? "" : "s"} · Show`;
  notice.hidden = count === 0;
}

if (live) {
  live.addEventListener("listening", stopPolling);
  live.addEventListener("newer", showNewCalls);
  live.addEventListener("ended", () => location.reload());
  for (const name of ["htmx:sse:error", "htmx:response:error", "htmx:error"]) {
    live.addEventListener(name, startPolling);
  }
  setTimeout(() => isStreaming || startPolling(), FIRST_EVENT_TIMEOUT_MS);
  setInterval(reconnect, RECONNECT_MS);
}
