// The messages that the client sends. Each echo has to be equal. An array is a fragmented message.

const PAYLOAD = Buffer.from(Array.from({ length: 256 }, (_, index) => index));

const bytes = (length) => Buffer.alloc(length, PAYLOAD);

export const MESSAGES = [
  ["text", "Hello"],
  ["text beyond ASCII", "Grüße, 世界, 🦀"],
  ["empty text", ""],
  ["empty binary", bytes(0)],
  ["binary", PAYLOAD],
  // Around the sizes at which the length field grows.
  ...[125, 126, 127, 65535, 65536, 1 << 20].map((length) => [`binary of ${length} bytes`, bytes(length)]),
  ["text of 100000 characters", "ä".repeat(100_000)],
  ["fragmented text", ["Frag", "ment", "", "ed 🦀"]],
  ["fragmented binary", [PAYLOAD, bytes(0), Buffer.from(PAYLOAD).reverse()]],
  ["empty fragments", ["", "", ""]],
  ["many fragments", Array(64).fill(PAYLOAD)],
];

// The expected echo. It need not keep the fragments.
export function whole(message) {
  if (!Array.isArray(message)) return message;
  return typeof message[0] === "string" ? message.join("") : Buffer.concat(message);
}
