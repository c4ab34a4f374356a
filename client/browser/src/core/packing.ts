/**
 * Words in exactly the bits of their prime, one after another, little endian: word 0 at bit 0 of byte 0.
 *
 * Words are held as SEAL has them: 64 bits each, here as two 32-bit halves, the low one first. No number of
 * JavaScript's holds 54 bits and a shift, and BigInts are a hundred times slower.
 */

export type Words = Uint32Array; // [low of word 0, high of word 0, low of word 1, …]

/** n words of `bits` bits, 33 to 63, as n × bits / 8 bytes. */
export function pack(words: Words, bits: number): Uint8Array {
  const count = words.length / 2;
  const packed = new Uint32Array(Math.ceil((count * bits) / 32) + 2);
  for (let i = 0; i < count; i++) {
    const low = words[2 * i]!, high = words[2 * i + 1]!;
    const place = i * bits, to = place >>> 5, shift = place & 31;
    packed[to]! |= low << shift;
    if (shift) {
      packed[to + 1]! |= (low >>> (32 - shift)) | (high << shift);
      packed[to + 2]! |= high >>> (32 - shift);
    } else {
      packed[to + 1]! |= high;
    }
  }
  return new Uint8Array(packed.buffer, 0, (count * bits) / 8).slice();
}

/** What `pack` packed. */
export function unpack(data: Uint8Array, bits: number): Words {
  const count = Math.floor((8 * data.length) / bits);
  const padded = new Uint8Array(Math.ceil(data.length / 4) * 4 + 12);
  padded.set(data);
  const packed = new Uint32Array(padded.buffer);
  const words = new Uint32Array(2 * count), mask = 2 ** (bits - 32) - 1;
  for (let i = 0; i < count; i++) {
    const place = i * bits, from = place >>> 5, shift = place & 31;
    const first = packed[from]!, second = packed[from + 1]!, third = packed[from + 2]!;
    words[2 * i] = shift ? (first >>> shift) | (second << (32 - shift)) : first;
    words[2 * i + 1] = (shift ? (second >>> shift) | (third << (32 - shift)) : second) & mask;
  }
  return words;
}

/** Whether every word is below the prime. */
export function allBelow(words: Words, prime: bigint): boolean {
  const low = Number(prime & 0xffffffffn), high = Number(prime >> 32n);
  for (let i = 0; i < words.length; i += 2) {
    const over = words[i + 1]! - high;
    if (over > 0 || (over === 0 && words[i]! >= low)) return false;
  }
  return true;
}

/** Words as SEAL writes them, from bytes that begin anywhere. */
export function wordsOf(bytes: Uint8Array): Words {
  return new Uint32Array(bytes.slice().buffer);
}
