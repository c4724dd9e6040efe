// Registers one record as a facility and locates it as an exchange, over mutual TLS, with nothing but the protos.
//
// Usage: node client.mjs ADDRESS PROTOS FACILITY_CERTS EXCHANGE_CERTS FACILITY
// Prints one JSON object: the registration, the identities found, and the details of a refused call.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const [address, protos, facilityCerts, exchangeCerts, facility] = process.argv.slice(2);
const definition = loadSync(["mpi/v1/registry_service.proto", "mpi/v1/locator_service.proto"], {
  includeDirs: [protos],
  enums: String,
  keepCase: true,
  longs: String,
});
const { mpi } = grpc.loadPackageDefinition(definition);

const credentials = (folder) => {
  const [ca, key, cert] = ["ca.pem", "key.pem", "cert.pem"].map((name) => readFileSync(join(folder, name)));
  return grpc.credentials.createSsl(ca, key, cert);
};
const registry = new mpi.v1.RegistryService(address, credentials(facilityCerts));
const locator = new mpi.v1.LocatorService(address, credentials(exchangeCerts));
const call = (client, method, request) =>
  promisify(client[method].bind(client))(request, { deadline: Date.now() + 10_000 });

const identifier = { kind: "IDENTIFIER_KIND_NATIONAL_ID", value: randomBytes(32) };
const registered = await call(registry, "Register", {
  record: {
    facility,
    local_id_token: randomBytes(32),
    pointer: Buffer.from("sealed"),
    demographics: {
      profile: "th-v1",
      profile_digest: Buffer.alloc(32, 7),
      key_epoch: "1-5f2c90aa",
      tokens: [identifier],
      channels: [{ channel: "A", bucket: randomBytes(32), vector: randomBytes(128) }],
    },
  },
});
const located = await call(locator, "Locate", {
  key: { identifier },
  purpose: "PURPOSE_OF_USE_TREAT",
  at_least: registered.revision,
});
const refusal = await call(locator, "Locate", { key: { identifier } }).then(
  () => null,
  (error) => ({ code: grpc.status[error.code], message: error.details }),
);
registry.close();
locator.close();

console.log(
  JSON.stringify({
    registration: registered.registration,
    identities: located.identities.map(({ eid, locations }) => ({
      eid,
      locations: locations.map((at) => ({ facility: at.facility, pointer: at.pointer.toString() })),
    })),
    refusal,
  }),
);
