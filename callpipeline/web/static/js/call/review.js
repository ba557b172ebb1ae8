// The review page: moves the focus to the next mention; applies the filter when it changes.
document.querySelector(".filter select")?.addEventListener("change", (event) => event.target.form.requestSubmit());
document.addEventListener("htmx:after:swap", () => {
  const next = document.querySelector(".review-list .entry.review button");
  if (!document.activeElement || document.activeElement === document.body) next?.focus();
});
