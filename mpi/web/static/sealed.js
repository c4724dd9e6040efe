// Opens sealed views: HPKE (RFC 9180, base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM) with WebCrypto and
// nothing else. The form of a view is described in mpi/encoder/sealed.py.

const { subtle } = crypto;
const HEADER = 10;
const ENC = 65;
const TAG = 16;
const P256 = { name: "ECDH", namedCurve: "P-256" };
const KEM_SUITE = bytes("KEM", [0x00, 0x10]);
const HPKE_SUITE = bytes("HPKE", [0x00, 0x10], [0x00, 0x01], [0x00, 0x02]);
export const MASKINGS = { 1: "initials", 2: "partial", 3: "full" };

// Why a key file or a view cannot be used; `why` names a text of the page.
export class Unusable extends Error {
  constructor(why) {
    super(why);
    this.why = why;
  }
}

function bytes(...parts) {
  const all = parts.flatMap((part) => [...(typeof part === "string" ? new TextEncoder().encode(part) : part)]);
  return Uint8Array.from(all);
}

export const fromHex = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const toHex = (data) => [...data].map((each) => each.toString(16).padStart(2, "0")).join("");

function fromBase64Url(value) {
  if (!/^[A-Za-z0-9_-]{43}$/.test(value ?? "")) throw new Unusable("key.wrong");
  const text = atob(value.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

// Reads a key file. What is kept can open views and can never be read out again, not by this page either.
export async function readKey(text) {
  let jwk;
  try {
    jwk = JSON.parse(text);
  } catch {
    throw new Unusable("key.wrong");
  }
  if (jwk?.kty !== "EC" || jwk.crv !== "P-256") throw new Unusable("key.wrong");
  if (!jwk.d) throw new Unusable("key.public");
  fromBase64Url(jwk.d);
  const point = bytes([0x04], fromBase64Url(jwk.x), fromBase64Url(jwk.y));
  const kid = toHex(new Uint8Array(await subtle.digest("SHA-256", point)).slice(0, 8));
  if (jwk.kid !== kid) throw new Unusable("key.damaged");
  try {
    const { kty, crv, x, y, d } = jwk;
    return { kid, point, secret: await subtle.importKey("jwk", { kty, crv, x, y, d }, P256, false, ["deriveBits"]) };
  } catch {
    throw new Unusable("key.damaged");
  }
}

// Gives the fields of a view and how far they are masked.
export async function openView(key, facility, pointer, view) {
  if (view.length < HEADER + ENC + TAG || view[0] !== 1 || !MASKINGS[view[1]]) throw new Unusable("view.unknown");
  const header = view.slice(0, HEADER);
  if (toHex(header.slice(2)) !== key.kid) throw new Unusable("view.other_key");
  const name = bytes(facility);
  const info = bytes("mpi/v1/sealed-view", header, [name.length], name, pointer);
  let fields;
  try {
    fields = JSON.parse(await openMessage(key, view.slice(HEADER, HEADER + ENC), view.slice(HEADER + ENC), info));
  } catch {
    throw new Unusable("view.changed");
  }
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) throw new Unusable("view.changed");
  return { masking: MASKINGS[view[1]], fields };
}

async function openMessage({ secret, point }, enc, ciphertext, info) {
  const ephemeral = await subtle.importKey("raw", enc, P256, false, []);
  const shared = new Uint8Array(await subtle.deriveBits({ name: "ECDH", public: ephemeral }, secret, 256));
  const kemKey = await extract(KEM_SUITE, [], "eae_prk", shared);
  const sharedSecret = await expand(KEM_SUITE, kemKey, "shared_secret", bytes(enc, point), 32);
  const pskIdHash = await extract(HPKE_SUITE, [], "psk_id_hash", []);
  const context = bytes([0x00], pskIdHash, await extract(HPKE_SUITE, [], "info_hash", info));
  const base = await extract(HPKE_SUITE, sharedSecret, "secret", []);
  const rawKey = await expand(HPKE_SUITE, base, "key", context, 32);
  const iv = await expand(HPKE_SUITE, base, "base_nonce", context, 12);
  const key = await subtle.importKey("raw", rawKey, "AES-GCM", false, ["decrypt"]);
  const opened = await subtle.decrypt({ name: "AES-GCM", iv, additionalData: new Uint8Array() }, key, ciphertext);
  return new TextDecoder("utf-8", { fatal: true }).decode(opened);
}

async function hmac(key, data) {
  // A key of zeros is the same HMAC key as an empty one, which WebCrypto does not take.
  const raw = key.length ? key : new Uint8Array(32);
  const imported = await subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", imported, data));
}

const extract = (suite, salt, label, secret) => hmac(salt, bytes("HPKE-v1", suite, label, secret));

// No length is more than a hash's 32 bytes, so the first block of HKDF-Expand is enough.
const expand = async (suite, key, label, info, length) =>
  (await hmac(key, bytes([0, length], "HPKE-v1", suite, label, info, [1]))).slice(0, length);
