// Saved views of the queue: names for filters, kept in this browser.
import { element, plain, say } from "./texts.js";

const KEPT = "mpi.views";
const MOST = 20;
const LONGEST = 40;
const bar = document.querySelector("[data-views]");

function kept() {
  try {
    const views = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    return views.filter(({ name, query }) => typeof name === "string" && typeof query === "string").slice(0, MOST);
  } catch {
    return [];
  }
}

function keep(views) {
  localStorage.setItem(KEPT, JSON.stringify(views.slice(0, MOST)));
  show();
}

function show() {
  const here = location.search;
  const chips = kept().map((view) => {
    const name = plain(view.name, LONGEST);
    // Only the query of a view is used, so a view leads to the queue and nowhere else.
    const link = element("a", { href: `/queue?${new URLSearchParams(view.query)}`, class: "chip" }, element("bdi", {}, name));
    if (`?${new URLSearchParams(view.query)}` === here) link.setAttribute("aria-current", "true");
    const drop = element("button", { type: "button", class: "bare small", "aria-label": say("views.drop", { name }) }, "×");
    drop.addEventListener("click", () => keep(kept().filter((each) => each.name !== view.name)));
    return element("span", { class: "row" }, link, drop);
  });
  bar.querySelector("[data-own]").replaceChildren(...chips);
}

export function start() {
  if (!bar) return;
  show();
  bar.querySelector("form")?.addEventListener("submit", (event) => {
    event.preventDefault();
    const field = event.target.elements.name;
    const name = field.value.trim().slice(0, LONGEST);
    if (!name) return;
    const query = location.search.replace(/^\?/, "");
    keep([...kept().filter((each) => each.name !== name), { name, query }]);
    field.value = "";
  });
}
