// Leave empty fields out of the URL.
for (const form of document.querySelectorAll("form.filters")) {
  form.addEventListener("formdata", ({ formData }) => {
    for (const name of new Set(formData.keys())) {
      const values = formData.getAll(name).filter((value) => value !== "");
      formData.delete(name);
      values.forEach((value) => formData.append(name, value));
    }
  });
}

// Check the order of the dates before submitting.
for (const form of document.querySelectorAll("form.filters")) {
  const { from, to } = form.elements;
  const check = () => {
    const isReversed = from.value && to.value && from.value > to.value;
    from.setCustomValidity(isReversed ? "The start date must be before the end date." : "");
  };
  for (const field of [from, to]) field.addEventListener("input", check);
}

// Close a dropdown on a click outside it or on Escape.
for (const dropdown of document.querySelectorAll("form.filters details.dropdown")) {
  document.addEventListener("click", (event) => {
    if (!dropdown.contains(event.target)) dropdown.open = false;
  });
  dropdown.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    dropdown.open = false;
    dropdown.querySelector("summary").focus();
  });
}
