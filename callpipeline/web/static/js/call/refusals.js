// A decision that the server refused is told where it was made; the page stays as it was.
const WORDS = {
  401: "You are logged out: load the page again.",
  403: "You may not decide this, or the page is too old: load it again.",
  429: "Too much was asked at once: wait a moment.",
};

export function tellOfRefusals() {
  for (const name of ["htmx:response:error", "htmx:error"]) {
    document.addEventListener(name, (event) => tell(event.target, event.detail.ctx?.response?.status));
  }
}

function tell(element, status) {
  const form = element.closest?.("form.decide");
  if (!form) return;
  const told = form.querySelector(".trouble") ?? form.appendChild(document.createElement("p"));
  told.className = "trouble";
  told.setAttribute("role", "alert");
  told.textContent = WORDS[status] ?? "It was not stored: try again.";
}
