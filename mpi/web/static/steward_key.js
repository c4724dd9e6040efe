// The steward's key in this browser: an unreadable CryptoKey in IndexedDB, for a working day at most, until signing out.
import { readKey, Unusable } from "./sealed.js";

const LONGEST_MILLISECONDS = 8 * 3600 * 1000;
const LONGEST_FILE = 1 << 16;

function database() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open("mpi", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("key");
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

async function within(mode, act) {
  const opened = await database();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = opened.transaction("key", mode);
      const asked = act(transaction.objectStore("key"));
      transaction.oncomplete = () => resolve(asked.result);
      transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    opened.close();
  }
}

export async function held(steward) {
  const entry = await within("readonly", (store) => store.get("held"));
  if (!entry) return null;
  if (entry.steward !== steward || Date.now() - entry.since > LONGEST_MILLISECONDS) {
    await forget();
    return null;
  }
  return entry.key;
}

export async function take(steward, file) {
  if (file.size > LONGEST_FILE) throw new Unusable("key.wrong");
  const key = await readKey(await file.text());
  await within("readwrite", (store) => store.put({ key, steward, since: Date.now() }, "held"));
  return key;
}

export const forget = () => within("readwrite", (store) => store.delete("held"));
