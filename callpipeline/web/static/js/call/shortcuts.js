// Keyboard shortcuts; ignored in text fields and with modifier keys of the browser.
const FIELDS = "input:not([type=checkbox]), textarea, select, [contenteditable]";
const PRESSABLE = "button, a, summary, input, select"; // handle space and enter themselves

export function addShortcuts(actions) {
  const dialog = document.getElementById("shortcuts");
  document.getElementById("show-shortcuts")?.addEventListener("click", () => dialog.showModal());
  const shortcuts = { ...actions, "?": () => dialog?.showModal() };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (dialog?.open || event.target.closest(FIELDS)) return;
    // A dialog that has just been closed may still have the focus.
    const isPress = event.target.closest(PRESSABLE) && !dialog?.contains(event.target);
    if (event.key === " " && isPress) return;
    const isShifted = event.shiftKey && event.key.startsWith("Arrow");
    const action = shortcuts[isShifted ? `shift ${event.key}` : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
