"""ChaCha20-Poly1305 (RFC 8439) in viper, MicroPython's native emitter, without allocation.

The same source runs on a 64-bit host, on a 32-bit board and on CPython, because it keeps three rules:
a word is masked to 32 bits before every right shift and every store (viper's integers are as wide as the
machine's); no literal is above 2^30 (on a 32-bit board a wider one is an object, not an integer), which is
why the mask arrives as an argument; and no product or sum passes 2^32 (see `_absorb`).

Not thread-safe: all calls of an object use the same scratch buffers.
"""

from array import array

try:
    import micropython
except ImportError:
    from pericard_node.plain import micropython, ptr8, ptr32, uint

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16

_MASK = 0xFFFFFFFF
_SIGMA = b"expand 32-byte k"


class InvalidTag(Exception):
    """The ciphertext, its associated data, its nonce or its key is not the one that was sealed."""


@micropython.viper
def _load(words, at: int, data, start: int, count: int):
    """Reads `count` little-endian words from data[start:] into words[at:]."""
    w = ptr32(words)
    d = ptr8(data)
    for i in range(count):
        j = start + (i << 2)
        w[at + i] = uint(d[j]) | uint(d[j + 1]) << 8 | uint(d[j + 2]) << 16 | uint(d[j + 3]) << 24


@micropython.viper
def _keystream(state, out, full: uint):
    """Writes the ChaCha20 block (RFC 8439, 2.3) of `state` to the 64 bytes `out`; adds 1 to its counter."""
    s = ptr32(state)
    o = ptr8(out)
    M = uint(full)
    a0 = uint(s[0]); a1 = uint(s[1]); a2 = uint(s[2]); a3 = uint(s[3])
    b0 = uint(s[4]); b1 = uint(s[5]); b2 = uint(s[6]); b3 = uint(s[7])
    c0 = uint(s[8]); c1 = uint(s[9]); c2 = uint(s[10]); c3 = uint(s[11])
    d0 = uint(s[12]); d1 = uint(s[13]); d2 = uint(s[14]); d3 = uint(s[15])
    for _ in range(10):
        a0 += b0; d0 = (d0 ^ a0) & M; d0 = d0 << 16 | d0 >> 16
        c0 += d0; b0 = (b0 ^ c0) & M; b0 = b0 << 12 | b0 >> 20
        a0 += b0; d0 = (d0 ^ a0) & M; d0 = d0 << 8 | d0 >> 24
        c0 += d0; b0 = (b0 ^ c0) & M; b0 = b0 << 7 | b0 >> 25
        a1 += b1; d1 = (d1 ^ a1) & M; d1 = d1 << 16 | d1 >> 16
        c1 += d1; b1 = (b1 ^ c1) & M; b1 = b1 << 12 | b1 >> 20
        a1 += b1; d1 = (d1 ^ a1) & M; d1 = d1 << 8 | d1 >> 24
        c1 += d1; b1 = (b1 ^ c1) & M; b1 = b1 << 7 | b1 >> 25
        a2 += b2; d2 = (d2 ^ a2) & M; d2 = d2 << 16 | d2 >> 16
        c2 += d2; b2 = (b2 ^ c2) & M; b2 = b2 << 12 | b2 >> 20
        a2 += b2; d2 = (d2 ^ a2) & M; d2 = d2 << 8 | d2 >> 24
        c2 += d2; b2 = (b2 ^ c2) & M; b2 = b2 << 7 | b2 >> 25
        a3 += b3; d3 = (d3 ^ a3) & M; d3 = d3 << 16 | d3 >> 16
        c3 += d3; b3 = (b3 ^ c3) & M; b3 = b3 << 12 | b3 >> 20
        a3 += b3; d3 = (d3 ^ a3) & M; d3 = d3 << 8 | d3 >> 24
        c3 += d3; b3 = (b3 ^ c3) & M; b3 = b3 << 7 | b3 >> 25
        a0 += b1; d3 = (d3 ^ a0) & M; d3 = d3 << 16 | d3 >> 16
        c2 += d3; b1 = (b1 ^ c2) & M; b1 = b1 << 12 | b1 >> 20
        a0 += b1; d3 = (d3 ^ a0) & M; d3 = d3 << 8 | d3 >> 24
        c2 += d3; b1 = (b1 ^ c2) & M; b1 = b1 << 7 | b1 >> 25
        a1 += b2; d0 = (d0 ^ a1) & M; d0 = d0 << 16 | d0 >> 16
        c3 += d0; b2 = (b2 ^ c3) & M; b2 = b2 << 12 | b2 >> 20
        a1 += b2; d0 = (d0 ^ a1) & M; d0 = d0 << 8 | d0 >> 24
        c3 += d0; b2 = (b2 ^ c3) & M; b2 = b2 << 7 | b2 >> 25
        a2 += b3; d1 = (d1 ^ a2) & M; d1 = d1 << 16 | d1 >> 16
        c0 += d1; b3 = (b3 ^ c0) & M; b3 = b3 << 12 | b3 >> 20
        a2 += b3; d1 = (d1 ^ a2) & M; d1 = d1 << 8 | d1 >> 24
        c0 += d1; b3 = (b3 ^ c0) & M; b3 = b3 << 7 | b3 >> 25
        a3 += b0; d2 = (d2 ^ a3) & M; d2 = d2 << 16 | d2 >> 16
        c1 += d2; b0 = (b0 ^ c1) & M; b0 = b0 << 12 | b0 >> 20
        a3 += b0; d2 = (d2 ^ a3) & M; d2 = d2 << 8 | d2 >> 24
        c1 += d2; b0 = (b0 ^ c1) & M; b0 = b0 << 7 | b0 >> 25
    s[16] = a0 & M; s[17] = a1 & M; s[18] = a2 & M; s[19] = a3 & M
    s[20] = b0 & M; s[21] = b1 & M; s[22] = b2 & M; s[23] = b3 & M
    s[24] = c0 & M; s[25] = c1 & M; s[26] = c2 & M; s[27] = c3 & M
    s[28] = d0 & M; s[29] = d1 & M; s[30] = d2 & M; s[31] = d3 & M
    for i in range(16):
        word = (uint(s[16 + i]) + uint(s[i])) & M
        j = i << 2
        o[j] = word & 255
        o[j + 1] = word >> 8 & 255
        o[j + 2] = word >> 16 & 255
        o[j + 3] = word >> 24
    s[12] = (uint(s[12]) + 1) & M


@micropython.viper
def _xor(out, at: int, data, start: int, n: int, stream):
    """out[at:at+n] = data[start:start+n] XOR stream[:n]; `out` and `data` may be the same buffer."""
    o = ptr8(out)
    d = ptr8(data)
    k = ptr8(stream)
    for i in range(n):
        o[at + i] = d[start + i] ^ k[i]


@micropython.viper
def _begin(poly, key):
    """Writes h = 0 to poly[:10], 5r to poly[10:20] and r to poly[20:30]: ten limbs of 13 bits each.

    r is the key's first half, clamped (RFC 8439, 2.5).
    """
    p = ptr32(poly)
    k = ptr8(key)
    for i in range(10):
        bit = 13 * i
        byte = bit >> 3
        word = 0
        for j in range(3):
            at = byte + j
            if at < 16:
                octet = int(k[at])
                if at & 3 == 3:
                    octet &= 15
                elif at & 3 == 0 and at > 0:
                    octet &= 252
                word |= octet << (j << 3)
        limb = (word >> (bit & 7)) & 0x1FFF
        p[i] = 0
        p[10 + i] = 5 * limb
        p[20 + i] = limb


@micropython.viper
def _absorb(poly, data, start: int, blocks: int):
    """H = (h + block) r mod 2^130 - 5 for whole 16-byte blocks, in ten limbs of 13 bits.

    Viper multiplies 32-bit words only, and products of 13-bit limbs fit into those. Bounds: h's limbs stay
    under 2^13 + 2^3, and under 2^14 + 2^3 with a block's added. Five products with limbs of 5r (under
    5 * 2^13) and a carry stay under 25 * 2^27 + 2^22 < 2^32; ten would not. So the ten products of a limb are
    summed in two groups of five.
    """
    p = ptr32(poly)
    m = ptr8(data)
    h0 = uint(p[0]); h1 = uint(p[1]); h2 = uint(p[2]); h3 = uint(p[3]); h4 = uint(p[4])
    h5 = uint(p[5]); h6 = uint(p[6]); h7 = uint(p[7]); h8 = uint(p[8]); h9 = uint(p[9])
    at = start
    for _ in range(blocks):
        t0 = uint(m[at]) | uint(m[at + 1]) << 8
        t1 = uint(m[at + 2]) | uint(m[at + 3]) << 8
        t2 = uint(m[at + 4]) | uint(m[at + 5]) << 8
        t3 = uint(m[at + 6]) | uint(m[at + 7]) << 8
        t4 = uint(m[at + 8]) | uint(m[at + 9]) << 8
        t5 = uint(m[at + 10]) | uint(m[at + 11]) << 8
        t6 = uint(m[at + 12]) | uint(m[at + 13]) << 8
        t7 = uint(m[at + 14]) | uint(m[at + 15]) << 8
        at += 16
        h0 += t0 & 0x1FFF
        h1 += (t0 >> 13 | t1 << 3) & 0x1FFF
        h2 += (t1 >> 10 | t2 << 6) & 0x1FFF
        h3 += (t2 >> 7 | t3 << 9) & 0x1FFF
        h4 += (t3 >> 4 | t4 << 12) & 0x1FFF
        h5 += t4 >> 1 & 0x1FFF
        h6 += (t4 >> 14 | t5 << 2) & 0x1FFF
        h7 += (t5 >> 11 | t6 << 5) & 0x1FFF
        h8 += (t6 >> 8 | t7 << 8) & 0x1FFF
        h9 += t7 >> 5 | 0x800  # the 1 that RFC 8439 puts above a block: 2^128 = 2^(9 * 13 + 11)
        carry = uint(0)
        for i in range(10):
            low = carry + h0 * uint(p[20 + i]) + h1 * uint(p[19 + i]) + h2 * uint(p[18 + i])
            low += h3 * uint(p[17 + i]) + h4 * uint(p[16 + i])
            high = (low & 0x1FFF) + h5 * uint(p[15 + i]) + h6 * uint(p[14 + i]) + h7 * uint(p[13 + i])
            high += h8 * uint(p[12 + i]) + h9 * uint(p[11 + i])
            p[i] = high & 0x1FFF
            carry = (low >> 13) + (high >> 13)
        # 2^130 = 5 modulo 2^130 - 5, so the carry out of the highest limb is added to the lowest, times 5.
        # From there carries go as far as h2, which so may become 2^13.
        low = uint(p[0]) + 5 * carry
        h0 = low & 0x1FFF
        h1 = uint(p[1]) + (low >> 13)
        h2 = uint(p[2]) + (h1 >> 13)
        h1 &= 0x1FFF
        h3 = uint(p[3]); h4 = uint(p[4]); h5 = uint(p[5]); h6 = uint(p[6])
        h7 = uint(p[7]); h8 = uint(p[8]); h9 = uint(p[9])
    p[0] = h0; p[1] = h1; p[2] = h2; p[3] = h3; p[4] = h4
    p[5] = h5; p[6] = h6; p[7] = h7; p[8] = h8; p[9] = h9


@micropython.viper
def _fill(pad, data, start: int, n: int):
    """Copies data[start:start+n] to the 16-byte block `pad`, and fills the rest of it with zeros."""
    p = ptr8(pad)
    d = ptr8(data)
    for i in range(16):
        if i < n:
            p[i] = d[start + i]
        else:
            p[i] = 0


@micropython.viper
def _lengths(pad, associated: int, n: int):
    """Writes the last block: both lengths as 64-bit little-endian numbers, the upper 32 bits zero."""
    p = ptr8(pad)
    for i in range(4):
        p[i] = associated >> (i << 3) & 255
        p[i + 4] = 0
        p[i + 8] = n >> (i << 3) & 255
        p[i + 12] = 0


@micropython.viper
def _finish(poly, key, tag, at: int):
    """Reduces h fully and writes tag = (h + s) mod 2^128, s being key[16:32], to tag[at:at+16]."""
    p = ptr32(poly)
    k = ptr8(key)
    t = ptr8(tag)
    for _ in range(2):
        carry = 0
        for i in range(10):
            carry += int(p[i])
            p[i] = carry & 0x1FFF
            carry >>= 13
        p[0] = int(p[0]) + 5 * carry
    # With p = 2^130 - 5, g = h - p. If g is not negative, h was not reduced yet, and g is the result. The
    # choice has no branch, so that the time it takes does not depend on the key.
    carry = 5
    for i in range(10):
        carry += int(p[i])
        p[10 + i] = carry & 0x1FFF
        carry >>= 13
    keep = carry - 1  # all ones where h is the result, zero where g is
    for i in range(10):
        p[i] = (int(p[i]) & keep) | (int(p[10 + i]) & (0 - carry))
    bits = 0
    held = 0
    limb = 0
    carry = 0
    for i in range(16):
        if held < 8:
            bits |= int(p[limb]) << held
            held += 13
            limb += 1
        carry += (bits & 255) + int(k[16 + i])
        t[at + i] = carry & 255
        carry >>= 8
        bits >>= 8
        held -= 8


@micropython.viper
def _same(a, at: int, b) -> int:
    """Whether a[at:at+16] equals b[:16], in a time that does not depend on where they differ."""
    x = ptr8(a)
    y = ptr8(b)
    difference = 0
    for i in range(16):
        difference |= int(x[at + i]) ^ int(y[i])
    return 1 if difference == 0 else 0


class ChaCha20Poly1305:
    """The AEAD under one 32-byte key; the names and the order of arguments are those of `cryptography`."""

    def __init__(self, key):
        """Copies the key, as words, into the state."""
        if len(key) != KEY_BYTES:
            raise ValueError("a key has 32 bytes")
        self._state = array("I", bytes(128))  # 16 words of state, 16 of working state
        self._poly = array("I", bytes(120))  # h, then 5r and r: ten limbs each
        self._stream = bytearray(64)
        self._onetime = bytearray(64)
        self._pad = bytearray(16)
        self._tag = bytearray(16)
        self._empty = b""
        _load(self._state, 0, _SIGMA, 0, 4)
        _load(self._state, 4, key, 0, 8)

    def encrypt(self, nonce, data, associated_data):
        """The ciphertext with its 16-byte tag, as new bytes."""
        out = bytearray(len(data) + TAG_BYTES)
        self.encrypt_into(nonce, data, associated_data, out)
        return bytes(out)

    def decrypt(self, nonce, data, associated_data):
        """The plaintext, as new bytes. Raises InvalidTag and gives nothing where the tag does not verify."""
        out = bytearray(max(0, len(data) - TAG_BYTES))
        self.decrypt_into(nonce, data, associated_data, out)
        return bytes(out)

    def encrypt_into(self, nonce, data, associated_data, buf):
        """Writes ciphertext and tag to `buf`, which may be the buffer of `data`; returns len(data) + 16."""
        n = len(data)
        aad = self._empty if associated_data is None else associated_data
        if len(buf) < n + TAG_BYTES:
            raise ValueError("the buffer is too short")
        self._start(nonce, 0)
        self._crypt(buf, 0, data, n)
        self._authenticate(aad, len(aad), buf, 0, n, buf, n)
        return n + TAG_BYTES

    def decrypt_into(self, nonce, data, associated_data, buf):
        """Verifies the tag, then writes the plaintext to `buf` and returns its length. Raises InvalidTag."""
        n = len(data) - TAG_BYTES
        aad = self._empty if associated_data is None else associated_data
        if n < 0:
            raise InvalidTag
        if len(buf) < n:
            raise ValueError("the buffer is too short")
        self._start(nonce, 0)
        self._authenticate(aad, len(aad), data, 0, n, self._tag, 0)
        if not _same(data, n, self._tag):
            raise InvalidTag
        self._crypt(buf, 0, data, n)
        return n

    def seal_frame(self, frame, n):
        """Seals a device frame in place: 16 bytes of header, n of payload; the tag follows. No allocation.

        The nonce is bytes 4..16 of the header, the associated data the whole header.
        """
        self._start(frame, 4)
        self._crypt(frame, 16, frame, n)
        self._authenticate(frame, 16, frame, 16, n, frame, 16 + n)

    def _start(self, nonce, at):
        """Sets the nonce and draws the one-time Poly1305 key from block 0 (RFC 8439, 2.6)."""
        if len(nonce) - at < NONCE_BYTES or (at == 0 and len(nonce) != NONCE_BYTES):
            raise ValueError("a nonce has 12 bytes")
        self._state[12] = 0
        _load(self._state, 13, nonce, at, 3)
        _keystream(self._state, self._onetime, _MASK)

    def _crypt(self, out, at, data, n):
        """XORs `data` with the key stream from block 1 on: block 0 was used for the Poly1305 key."""
        start = at if out is data else 0
        done = 0
        while done < n:
            _keystream(self._state, self._stream, _MASK)
            step = min(64, n - done)
            _xor(out, at + done, data, start + done, step, self._stream)
            done += step

    def _authenticate(self, aad, aad_length, data, start, n, tag, at):
        """Poly1305 over aad ‖ pad ‖ ciphertext ‖ pad ‖ lengths (RFC 8439, 2.8), written to tag[at:]."""
        _begin(self._poly, self._onetime)
        self._absorb_padded(aad, 0, aad_length)
        self._absorb_padded(data, start, n)
        _lengths(self._pad, aad_length, n)
        _absorb(self._poly, self._pad, 0, 1)
        _finish(self._poly, self._onetime, tag, at)

    def _absorb_padded(self, data, start, n):
        whole = n >> 4
        _absorb(self._poly, data, start, whole)
        rest = n & 15
        if rest:
            _fill(self._pad, data, start + (whole << 4), rest)
            _absorb(self._poly, self._pad, 0, 1)
