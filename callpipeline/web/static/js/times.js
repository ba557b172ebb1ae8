// Show times in the browser's time zone, unless the server has one set. Without this script, pages show
// UTC. Days, in which calls are counted, stay in UTC.
const clock = new Intl.DateTimeFormat("en-US", { hour: "numeric", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

function show(time) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.valueOf())) return;
  const date = day.format(at) === day.format(new Date()) ? "Today" : day.format(at);
  const text = `${date}, ${clock.format(at).replace("\u202f", " ")}`;
  if (time.textContent !== text) time.textContent = text;
}

function showAll(within) {
  const own = within.closest("time[datetime]");
  for (const time of own ? [own] : within.querySelectorAll("time[datetime]")) show(time);
}

if (!document.documentElement.dataset.zone) {
  showAll(document.body);
  // Parts of pages are replaced while calls are processed.
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      const element = target.nodeType === Node.ELEMENT_NODE ? target : target.parentElement;
      if (element) showAll(element);
    }
  }).observe(document.body, { childList: true, characterData: true, subtree: true });
  const note = document.getElementById("zones");
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  if (note) note.textContent = `Times are in your time zone (${timeZone}), days in UTC.`;
}
