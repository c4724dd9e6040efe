// What goes on while a page is looked at: how long a claim still lasts, and how many records are chosen to be split off.
import { say } from "./texts.js";

const EVERY_MILLISECONDS = 5000;

export function start() {
  const lease = document.querySelector("[data-held-until]");
  if (lease) {
    const until = Number(lease.dataset.heldUntil) * 1000;
    const show = () => {
      const minutes = Math.ceil((until - Date.now()) / 60000);
      lease.textContent = minutes > 0 ? say("task.yours", { minutes }) : say("task.lapsed");
      lease.classList.toggle("against", minutes <= 1);
    };
    show();
    setInterval(show, EVERY_MILLISECONDS);
  }
  const splitting = document.querySelector("[data-split]");
  const told = splitting?.querySelector("[data-chosen]");
  if (told) {
    const count = () => {
      const chosen = splitting.querySelectorAll("input[name=record]:checked").length;
      const all = splitting.querySelectorAll("input[name=record]").length;
      told.textContent = say("split.chosen", { chosen, all });
      splitting.querySelector("button[type=submit]").disabled = chosen === 0 || chosen === all;
    };
    splitting.addEventListener("change", count);
    count();
  }
}
