// Notices in passing: one at a time, read out by screen readers, gone by themselves only when there is nothing to do.
import { element, say } from "./texts.js";

const READING_MILLISECONDS = 7000;

export function tell(text, { problem = false } = {}) {
  document.querySelector(".toast")?.remove();
  const close = element("button", { type: "button", class: "bare", "aria-label": say("close") }, "×");
  const toast = element("div", { class: problem ? "toast problem" : "toast", role: "status" }, element("span", {}, text), close);
  document.getElementById("notices").append(toast);
  watch(toast);
}

export function watch(toast) {
  toast.querySelector("button.bare")?.addEventListener("click", () => toast.remove());
  if (!toast.querySelector("form")) setTimeout(() => toast.remove(), READING_MILLISECONDS);
}
