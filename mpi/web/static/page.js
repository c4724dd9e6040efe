// What every page does in the browser; each part finds out by itself whether the page has something for it.
import * as reveal from "./reveal.js";
import * as shortcuts from "./shortcuts.js";
import { forget } from "./steward_key.js";
import * as task from "./task.js";
import { say } from "./texts.js";
import { tell, watch } from "./toast.js";
import * as views from "./views.js";

document.querySelectorAll(".toast").forEach(watch);
document.querySelectorAll("dialog [data-close]").forEach((button) => button.addEventListener("click", () => button.closest("dialog").close()));
document.querySelectorAll("[data-forgets]").forEach((form) => form.addEventListener("submit", () => forget().catch(() => null)));
if (document.body.hasAttribute("data-signed-out")) forget().catch(() => null);
document.querySelectorAll("[data-copy]").forEach((button) =>
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    tell(say("copied"));
  }),
);
// A chosen file becomes the text of a field, which is what is sent.
document.querySelectorAll("input[type=file][data-into]").forEach((input) =>
  input.addEventListener("change", async () => {
    if (input.files[0]) document.getElementById(input.dataset.into).value = await input.files[0].text();
  }),
);
// A form is sent once, however often its key is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "1";
});
addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));

shortcuts.listen();
task.start();
views.start();
reveal.start();
