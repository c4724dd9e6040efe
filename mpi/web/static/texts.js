// Texts that scripts show, in the language of the page.
const table = JSON.parse(document.getElementById("texts").textContent);

export function say(key, values = {}) {
  return Object.entries(values).reduce((text, [name, value]) => text.replaceAll(`{${name}}`, value), table[key] ?? key);
}

// Text that somebody else sent, with everything unseen written by its number: it cannot turn the page's writing round.
export function plain(text, longest = 280) {
  const shown = [...String(text)].slice(0, longest + 1).map((character) => {
    if (/[\u200b-\u200d]/u.test(character)) return "";
    if (/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]/u.test(character)) {
      return `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
    }
    return character;
  });
  return shown.length > longest ? `${shown.slice(0, longest).join("")}…` : shown.join("");
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
