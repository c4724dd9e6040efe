// Keys: whatever has data-key is pressed, or focused, by that key; j and k walk through rows; ? tells all of them.
// Letters are taken by their place on the keyboard, so they work while it is set to Thai.
import { element, say } from "./texts.js";

const OFF = "mpi.keys.off";

const typing = (target) => target.matches?.("input:not([type=checkbox],[type=radio]), textarea, select, [contenteditable]");
const visible = (target) => target.checkVisibility?.({ visibilityProperty: true }) ?? true;
const named = (event) => {
  if (event.key === "?" || (event.shiftKey && event.code === "Slash")) return "?";
  if (event.code === "Slash") return "/";
  if (event.code.startsWith("Key")) return event.code.slice(3).toLowerCase();
  if (event.code.startsWith("Digit")) return event.code.slice(5);
  return event.key;
};

function press(target) {
  if (typing(target)) {
    target.focus();
    target.select?.();
  } else {
    target.focus();
    target.click();
  }
}

function walk(step) {
  const rows = [...document.querySelectorAll("[data-row]")].filter(visible);
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step))];
  const target = next.querySelector("a[href], input, button") ?? next;
  target.focus();
  next.scrollIntoView({ block: "nearest" });
}

function help(dialog) {
  const list = dialog.querySelector("dl");
  const entries = [...document.querySelectorAll("[data-key]")]
    .filter((target) => !dialog.contains(target) && visible(target))
    .map((target) => [target.dataset.key, target.dataset.says ?? (target.getAttribute("aria-label") || target.textContent.trim())]);
  if (document.querySelector("[data-row]")) entries.push(["j / k", say("keys.walk")]);
  entries.push(["?", say("keys.help")], ["Esc", say("close")]);
  const unique = [...new Map(entries)];
  list.replaceChildren(
    ...unique.flatMap(([key, text]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, text)]),
  );
  const off = dialog.querySelector("input");
  off.checked = localStorage.getItem(OFF) === "1";
  off.addEventListener("change", () => localStorage.setItem(OFF, off.checked ? "1" : "0"));
  dialog.showModal();
}

export function listen() {
  const dialog = document.getElementById("help");
  document.querySelector("[data-help]")?.addEventListener("click", () => help(dialog));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Escape" && typing(event.target)) event.target.blur();
    if (typing(event.target) || document.querySelector("dialog[open]")) return;
    const key = named(event);
    if (key === "?") {
      event.preventDefault();
      help(dialog);
      return;
    }
    if (localStorage.getItem(OFF) === "1") return;
    if (key === "j" || key === "k") {
      event.preventDefault();
      walk(key === "j" ? 1 : -1);
      return;
    }
    const target = [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].find(visible);
    if (target && !event.repeat) {
      event.preventDefault();
      press(target);
    }
  });
}
