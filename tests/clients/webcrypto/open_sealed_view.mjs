// Opens sealed views as a steward's browser does: HPKE (RFC 9180, base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256,
// AES-256-GCM) written with WebCrypto and nothing else.
//
// Usage: node open_sealed_view.mjs < REQUEST
// REQUEST is JSON: { key: private JSON Web Key,
//                    views: [{ facility, pointer, sealed }],
//                    messages: [{ enc, ciphertext, info, aad }] }, bytes in hexadecimal.
// Prints JSON: the fields of each view and the text of each message, null for what does not open.

import { webcrypto } from "node:crypto";
import { text } from "node:stream/consumers";

const { subtle } = webcrypto;
const HEADER = 10;
const ENC = 65;
const P256 = { name: "ECDH", namedCurve: "P-256" };
const KEM_SUITE = bytes("KEM", [0x00, 0x10]);
const HPKE_SUITE = bytes("HPKE", [0x00, 0x10], [0x00, 0x01], [0x00, 0x02]);

function bytes(...parts) {
  const all = parts.flatMap((part) => [...(typeof part === "string" ? new TextEncoder().encode(part) : part)]);
  return Uint8Array.from(all);
}

const fromHex = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const fromBase64Url = (value) =>
  Uint8Array.from(atob(value.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));

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

async function openMessage(jwk, enc, ciphertext, info, aad) {
  const privateKey = await subtle.importKey("jwk", jwk, P256, false, ["deriveBits"]);
  const ephemeral = await subtle.importKey("raw", enc, P256, false, []);
  const shared = new Uint8Array(await subtle.deriveBits({ name: "ECDH", public: ephemeral }, privateKey, 256));
  const kemContext = bytes(enc, [0x04], fromBase64Url(jwk.x), fromBase64Url(jwk.y));
  const kemKey = await extract(KEM_SUITE, [], "eae_prk", shared);
  const sharedSecret = await expand(KEM_SUITE, kemKey, "shared_secret", kemContext, 32);

  const pskIdHash = await extract(HPKE_SUITE, [], "psk_id_hash", []);
  const infoHash = await extract(HPKE_SUITE, [], "info_hash", info);
  const context = bytes([0x00], pskIdHash, infoHash);
  const secret = await extract(HPKE_SUITE, sharedSecret, "secret", []);
  const rawKey = await expand(HPKE_SUITE, secret, "key", context, 32);
  const iv = await expand(HPKE_SUITE, secret, "base_nonce", context, 12);
  const key = await subtle.importKey("raw", rawKey, "AES-GCM", false, ["decrypt"]);
  const opened = await subtle.decrypt({ name: "AES-GCM", iv, additionalData: aad }, key, ciphertext);
  return new TextDecoder("utf-8", { fatal: true }).decode(opened);
}

async function openView(jwk, { facility, pointer, sealed }) {
  const view = fromHex(sealed);
  const header = view.slice(0, HEADER);
  const info = bytes("mpi/v1/sealed-view", header, [facility.length], facility, fromHex(pointer));
  const enc = view.slice(HEADER, HEADER + ENC);
  return JSON.parse(await openMessage(jwk, enc, view.slice(HEADER + ENC), info, new Uint8Array()));
}

const orNull = (promise) => promise.catch((error) => (error.name === "OperationError" ? null : Promise.reject(error)));

const { key, views = [], messages = [] } = JSON.parse(await text(process.stdin));
console.log(
  JSON.stringify({
    views: await Promise.all(views.map((view) => orNull(openView(key, view)))),
    messages: await Promise.all(
      messages.map(({ enc, ciphertext, info, aad }) =>
        orNull(openMessage(key, ...[enc, ciphertext, info, aad].map(fromHex))),
      ),
    ),
  }),
);
