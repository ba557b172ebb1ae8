// Keeps a page live. The server tells what changes (hx-sse puts it in place); where no event comes
// through, as behind a proxy that holds answers back, the page asks by itself every five seconds.
const ASK_MS = 5000;
const PATIENCE_MS = 8000;
const CONNECT_MS = 60000;
const FINAL = new Set(["COMPLETED", "FAILED", "DUPLICATE", "ERASED"]);

const live = document.querySelector("#live");
let isTold = false;
let asking = 0;

async function ask() {
  if (document.hidden || isTold) return;
  let answer;
  try {
    answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  } catch {
    return; // the network is gone: asked again in a moment
  }
  if (!answer.ok || answer.redirected || isTold) return;
  const part = live.dataset.part;
  const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(part);
  const here = document.querySelector(part);
  if (!found || !here) return;
  if (FINAL.has(found.dataset.state)) return location.reload();
  htmx.swap({ text: found.outerHTML, target: here, swap: "outerMorph", sourceElement: live });
}

function askBySelf() {
  isTold = false;
  asking ||= setInterval(ask, ASK_MS);
}

function connectAgain() {
  if (document.hidden || !asking || live._htmx?.sse) return;
  htmx.ajax("GET", live.getAttribute("hx-sse:connect"), { source: live, swap: "none" });
}

function told() {
  isTold = true;
  clearInterval(asking);
  asking = 0;
}

function tellOfNewer(event) {
  const notice = document.querySelector("#newer a");
  if (!notice) return;
  const count = Number(event.detail.data);
  notice.textContent = count === 1 ? "A newer call has come in: show it"
    : `${count > 11 ? "Many" : count} newer calls have come in: show them`;
  notice.hidden = count === 0;
}

if (live) {
  live.addEventListener("listening", told);
  live.addEventListener("newer", tellOfNewer);
  live.addEventListener("ended", () => location.reload());
  for (const name of ["htmx:sse:error", "htmx:response:error", "htmx:error"]) {
    live.addEventListener(name, askBySelf);
  }
  setTimeout(() => isTold || askBySelf(), PATIENCE_MS);
  setInterval(connectAgain, CONNECT_MS);
}
