// Times are written by UTC; people read them in their own time zone.
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const other = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
});

export function localise(root) {
  for (const element of root.querySelectorAll("time[datetime]:not([data-own])")) {
    const at = new Date(element.dateTime);
    const isToday = at.toDateString() === new Date().toDateString();
    element.title = element.textContent;
    element.textContent = isToday ? `today ${clock.format(at)}` : other.format(at);
    element.dataset.own = "";
  }
}

localise(document);
document.addEventListener("htmx:after:swap", () => localise(document));
