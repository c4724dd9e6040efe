// Reveals sealed views: the index hands out ciphertext and notes who asked; this browser opens it with the steward's key.
import { fromHex, openView, Unusable } from "./sealed.js";
import { forget, held, take } from "./steward_key.js";
import { element, plain, say } from "./texts.js";
import { tell } from "./toast.js";

const ORDER = ["given", "family", "birth_date", "sex", "national_id", "passport", "phone", "subdistrict"];
const steward = document.body.dataset.steward;
const boxes = [...document.querySelectorAll("[data-sealed]")];
const dialog = document.getElementById("key");
const field = dialog?.querySelector("input[type=file]");
const trouble = dialog?.querySelector("[role=alert]");
const opener = document.querySelector("[data-open-key]");
let key = null;
let ready = Promise.resolve();

function show() {
  document.querySelector("[data-key-state]")?.replaceChildren(key ? say("key.held", { kid: key.kid.slice(0, 8) }) : say("key.none"));
  dialog?.querySelector("[data-forget]")?.toggleAttribute("hidden", !key);
}

async function reveal(box) {
  const button = box.querySelector("button");
  button?.setAttribute("disabled", "");
  try {
    const body = new URLSearchParams({ token: document.body.dataset.token, record: box.dataset.record, task: box.dataset.task });
    const answer = await fetch("/reveal", { method: "POST", body, headers: { accept: "application/json" } });
    const said = await answer.json();
    if (!answer.ok) throw new Unusable(said.detail || said.problem);
    const view = fromHex(said.sealed);
    const { masking, fields } = await openView(key, said.facility, fromHex(box.dataset.pointer), view);
    fill(box, masking, fields);
  } catch (error) {
    const text = error instanceof Unusable ? say(error.why) : say("view.unreachable");
    box.dataset.state = "wrong";
    box.setAttribute("role", "alert");
    box.replaceChildren(element("span", {}, plain(text)), " ", again(box));
  }
}

function again(box) {
  const button = element("button", { type: "button", class: "bare" }, say("view.again"));
  button.addEventListener("click", () => ask([box]));
  return button;
}

function fill(box, masking, fields) {
  const names = [...ORDER.filter((name) => name in fields), ...Object.keys(fields).filter((name) => !ORDER.includes(name))];
  const list = element("dl", { class: "seen" });
  for (const name of names.slice(0, 12)) {
    const value = name === "sex" ? say(`sex.${fields[name]}`).replace(/^sex\./, "") : fields[name];
    const label = ORDER.includes(name) ? say(`field.${name}`) : plain(name, 40);
    const shown = element("dd", { "data-field": plain(name, 40) }, element("bdi", {}, plain(value)));
    list.append(element("div", {}, element("dt", {}, label), shown));
  }
  box.dataset.state = "open";
  box.removeAttribute("role");
  box.replaceChildren(list, element("span", { class: "chip" }, say(`masking.${masking}`)));
  compare();
}

// Where the two sides of a task show different values, the eye is led there.
function compare() {
  const sides = [".side-left", ".side-right"].map((side) => document.querySelector(`${side} .seen`));
  if (sides.includes(null)) return;
  for (const shown of sides[0].querySelectorAll("dd")) {
    const other = [...sides[1].querySelectorAll("dd")].find((each) => each.dataset.field === shown.dataset.field);
    const differs = other && other.firstChild.textContent !== shown.firstChild.textContent;
    for (const each of [shown, other]) each?.classList.toggle("differs", Boolean(differs));
  }
}

async function ask(wanted) {
  await ready;
  if (key) {
    wanted.forEach(reveal);
    return;
  }
  dialog.wanted = wanted;
  trouble.textContent = "";
  dialog.showModal();
}

async function find() {
  key = await held(steward).catch(() => null);
  show();
}

export function start() {
  if (!dialog) return;
  ready = find();
  opener?.addEventListener("click", () => {
    trouble.textContent = "";
    dialog.showModal();
  });
  document.querySelector("[data-reveal-all]")?.addEventListener("click", () =>
    ask(boxes.filter((box) => box.dataset.state !== "open")),
  );
  for (const box of boxes) box.querySelector("button")?.addEventListener("click", () => ask([box]));
  field.addEventListener("change", async () => {
    const [file] = field.files;
    if (!file) return;
    try {
      key = await take(steward, file);
      dialog.close();
      tell(say("key.taken", { kid: key.kid.slice(0, 8) }));
      (dialog.wanted ?? []).forEach(reveal);
      dialog.wanted = [];
    } catch (error) {
      trouble.textContent = say(error instanceof Unusable ? error.why : "key.wrong");
    }
    field.value = "";
    show();
  });
  dialog.querySelector("[data-forget]").addEventListener("click", async () => {
    await forget();
    key = null;
    show();
    dialog.close();
  });
}
