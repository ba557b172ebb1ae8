// After a decision the next one has the focus; a filter works as soon as it is chosen.
import { tellOfRefusals } from "./refusals.js";

tellOfRefusals();
document.querySelector(".filter select")?.addEventListener("change", (event) => event.target.form.requestSubmit());
document.addEventListener("htmx:after:swap", () => {
  const next = document.querySelector(".waiting .entry.review button");
  if (!document.activeElement || document.activeElement === document.body) next?.focus();
});
