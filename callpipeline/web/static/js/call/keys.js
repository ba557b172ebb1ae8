// Keys for the whole page; never while somebody writes, and never with those of the browser.
const FIELDS = "input:not([type=checkbox]), textarea, select, [contenteditable]";
const PRESSED = "button, a, summary, input, select"; // what space and enter press themselves

export function listenToKeys(actions) {
  const dialog = document.getElementById("keys");
  document.getElementById("show-keys")?.addEventListener("click", () => dialog.showModal());
  const act = { ...actions, "?": () => dialog?.showModal() };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (dialog?.open || event.target.closest(FIELDS)) return;
    // A dialog that was closed just now may still have the focus.
    const presses = event.target.closest(PRESSED) && !dialog?.contains(event.target);
    if (event.key === " " && presses) return;
    const action = act[event.shiftKey && event.key.startsWith("Arrow") ? `shift ${event.key}` : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
