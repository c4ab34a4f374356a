// liboqs, compiled to WebAssembly, for the tests: one JSON line in (op, algorithm, hexadecimal values), one out.
// Arguments: the folder of the package @oqs/liboqs-js. What liboqs refuses is answered with the error's name.
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const liboqs = await import(pathToFileURL(join(process.argv[2], "src", "index.js")));
const made = {
  "ML-KEM-768": await liboqs.createMLKEM768(),
  "ML-KEM-1024": await liboqs.createMLKEM1024(),
  "ML-DSA-65": await liboqs.createMLDSA65(),
};

// liboqs-js wants a Uint8Array by its very name, which Node's Buffer is not.
const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));
const hex = (value) => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value);

const ops = {
  generate: (it) => it.generateKeyPair(),
  encapsulate: (it, { publicKey }) => it.encapsulate(bytes(publicKey)),
  decapsulate: (it, { ciphertext, secretKey }) => ({
    sharedSecret: it.decapsulate(bytes(ciphertext), bytes(secretKey)),
  }),
  sign: (it, { message, secretKey }) => ({ signature: it.sign(bytes(message), bytes(secretKey)) }),
  verify: (it, { message, signature, publicKey }) => ({
    right: it.verify(bytes(message), bytes(signature), bytes(publicKey)),
  }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { op, algorithm, ...values } = JSON.parse(line);
  let answer;
  try {
    const found = ops[op](made[algorithm], values);
    answer = Object.fromEntries(Object.entries(found).map(([name, value]) => [name, hex(value)]));
  } catch (error) {
    answer = { error: error.name };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
