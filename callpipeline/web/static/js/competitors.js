// The form of a change: marks fields with problems, which the preview brings.
const form = document.querySelector("#proposal");

function markFields() {
  for (const remarks of form.querySelectorAll(".remarks")) {
    const field = form.elements[remarks.dataset.field];
    const isInvalid = remarks.querySelector(".error") !== null;
    if (isInvalid) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }
}

document.addEventListener("htmx:after:swap", markFields);
