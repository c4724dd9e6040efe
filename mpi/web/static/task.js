// A claimed task: how long it still is the steward's own, and what the chosen facts of a split or a remark need.
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
  if (splitting) {
    const count = () => {
      const chosen = splitting.querySelectorAll("input[name=record]:checked").length;
      const all = splitting.querySelectorAll("input[name=record]").length;
      splitting.querySelector("[data-chosen]").textContent = say("split.chosen", { chosen, all });
      splitting.querySelector("button[type=submit]").disabled = chosen === 0 || chosen === all;
    };
    splitting.addEventListener("change", count);
    count();
  }
}
