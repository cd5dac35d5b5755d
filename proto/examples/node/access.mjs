// Who the agent is to a server with users, and whose commands count: ../../README.md, 2.7. Files are read again each
// time, so that keys are rotated without a restart.
//   MENDBUS_NATS_CREDENTIALS  its nkey, or the folder in which it is agent/KIND/ID.nk
//   MENDBUS_NATS_CA           the certificate of the authority
//   MENDBUS_TRUSTED_KEYS      keys.json; without it, unsigned commands count
import { createPublicKey, verify } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { nkeyAuthenticator } from "@nats-io/transport-node";

const { MENDBUS_NATS_CREDENTIALS: place, MENDBUS_NATS_CA: caFile, MENDBUS_TRUSTED_KEYS: trusted } = process.env;
const began = Date.now();
const ms = (nanoseconds) => Number(BigInt(nanoseconds) / 1_000_000n);

export function access(kind, id) { // options for connect()
  if (!place && (caFile || trusted)) {
    throw new Error("MENDBUS_NATS_CA and MENDBUS_TRUSTED_KEYS count only with MENDBUS_NATS_CREDENTIALS: set all or none");
  }
  if (!place) return {};
  const seed = () => {
    const file = statSync(place).isDirectory() ? `${place}/agent/${kind}/${id}.nk` : place;
    const [line] = readFileSync(file, "utf8").match(/^SU[A-Z2-7]+$/m) ?? [];
    if (!line) throw new Error(`${file} holds no key: \`mendbus nats-config add\` makes one`);
    return new TextEncoder().encode(line);
  };
  seed(); // what is wrong with it is said at once
  const authenticator = nkeyAuthenticator(seed);
  return { authenticator, inboxPrefix: `_INBOX.agent.${kind}.${id}`, ...(caFile && { tls: { caFile } }) };
}

export function refused(family, message, body) { // the answer to a message that does not count, undefined to all others
  if (message.headers?.has("Nats-Stream")) throw new Error("a word of the server's");
  const code = family === "command" && trusted ? refusal(message, body) : undefined;
  return code && { command_id: body.command_id, status: "unauthorized", code };
}

function refusal({ subject, headers, data }, { command_id, deadline_unix_nano, timeout_ms, instance }) {
  const [kid, signature] = [headers?.get("Mendbus-Key"), headers?.get("Mendbus-Signature")];
  if (!kid || !signature) return "unsigned";
  const key = JSON.parse(readFileSync(trusted, "utf8")).keys.find((one) => one.kid === kid);
  if (!key) return "unknown_key";
  if (key.until_unix_nano && Date.now() > key.until_unix_nano / 1e6) return "expired_key";
  const signed = Buffer.concat([Buffer.from(`mendbus.v1\n${subject}\n${command_id}\n`), data]);
  const held = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: key.public }, format: "jwk" });
  if (!verify(null, signed, held, Buffer.from(signature, "base64url"))) return "bad_signature";
  if (key.role !== "executor") return "not_allowed";
  const deadline = ms(deadline_unix_nano);
  const tooOld = instance === undefined && deadline - Number(timeout_ms) < began;
  return Date.now() > deadline + 60_000 || tooOld ? "late" : undefined;
}
