// Shows a failed decision next to its buttons; the rest of the page stays unchanged.
const MESSAGES = {
  401: "You're logged out. Reload the page to log in.",
  403: "You can't change this, or the page is out of date. Reload the page.",
  429: "Too many requests. Try again in a moment.",
};

export function showDecisionErrors() {
  for (const name of ["htmx:response:error", "htmx:error"]) {
    document.addEventListener(name, (event) => show(event.target, event.detail.ctx?.response?.status));
  }
}

function show(element, status) {
  const form = element.closest?.("form.decision");
  if (!form) return;
  const problem = form.querySelector(".problem") ?? form.appendChild(document.createElement("p"));
  problem.className = "problem";
  problem.setAttribute("role", "alert");
  problem.textContent = MESSAGES[status] ?? "Couldn't save. Try again.";
}
