"""Ed25519 verification (RFC 8032), for updates only: it handles nothing secret, so its time may vary.

MicroPython has no SHA-512, so that is here as well, over Python's integers; its constants are computed, as
FIPS 180-4 defines them, rather than listed.
"""

_WORD = (1 << 64) - 1


def _primes(count):
    found = []
    n = 2
    while len(found) < count:
        if all(n % prime for prime in found):
            found.append(n)
        n += 1
    return found


def _root(n, power):
    """The integer part of n's square or cube root, by Newton's method from above."""
    guess = 1 << 80
    while True:
        better = ((power - 1) * guess + n // guess ** (power - 1)) // power
        if better >= guess:
            return guess
        guess = better


def _fractions(count, power):
    """First 64 bits of the fractions of the first primes' roots (FIPS 180-4, 4.2.3 and 5.3.5)."""
    return [_root(prime << (64 * power), power) & _WORD for prime in _primes(count)]


def _turn(word, by):
    return (word >> by | word << (64 - by)) & _WORD


def sha512(message):
    """The 64-byte digest of a short message."""
    constants = _fractions(80, 3)
    state = _fractions(8, 2)
    whole = len(message) // 128 * 128
    padding = b"\x80" + bytes((111 - len(message)) % 128) + (8 * len(message)).to_bytes(16, "big")
    last = message[whole:] + padding  # only this is copied: a chip may have no second room for the message
    for start in range(0, whole + len(last), 128):
        block = message[start : start + 128] if start < whole else last[start - whole : start - whole + 128]
        w = [int.from_bytes(block[8 * i : 8 * i + 8], "big") for i in range(16)]
        for i in range(16, 80):
            x, y = w[i - 15], w[i - 2]
            low = _turn(x, 1) ^ _turn(x, 8) ^ (x >> 7)
            high = _turn(y, 19) ^ _turn(y, 61) ^ (y >> 6)
            w.append((w[i - 16] + low + w[i - 7] + high) & _WORD)
        a, b, c, d, e, f, g, h = state
        for i in range(80):
            mixed = _turn(e, 14) ^ _turn(e, 18) ^ _turn(e, 41)
            first = h + mixed + ((e & f) ^ (~e & g)) + constants[i] + w[i]
            mixed = _turn(a, 28) ^ _turn(a, 34) ^ _turn(a, 39)
            second = mixed + ((a & b) ^ (a & c) ^ (b & c))
            a, b, c, d, e, f, g, h = (first + second) & _WORD, a, b, c, (d + first) & _WORD, e, f, g
        state = [(state[i] + x) & _WORD for i, x in enumerate((a, b, c, d, e, f, g, h))]
    return b"".join(word.to_bytes(8, "big") for word in state)


_P = (1 << 255) - 19
_L = (1 << 252) + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_SQRT_MINUS_1 = pow(2, (_P - 1) // 4, _P)


def _x_of(y, sign):
    """The x of a point by its y and x's lowest bit (RFC 8032, 5.1.3); None where there is no such point."""
    u = (y * y - 1) % _P
    v = (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if v * x * x % _P != u:
        x = x * _SQRT_MINUS_1 % _P
        if v * x * x % _P != u:
            return None
    if x == 0 and sign:
        return None
    return _P - x if x & 1 != sign else x


def _decode(data):
    """A point as (X, Y, Z, T), or None."""
    number = int.from_bytes(data, "little")
    y = number & ((1 << 255) - 1)
    if y >= _P:
        return None
    x = _x_of(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % _P)


def _encode(point):
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _add(p, q):
    """The sum of two points, equal or not (RFC 8032, 5.1.4)."""
    a = (p[1] - p[0]) * (q[1] - q[0]) % _P
    b = (p[1] + p[0]) * (q[1] + q[0]) % _P
    c = 2 * p[3] * q[3] * _D % _P
    d = 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


_BASE_Y = 4 * pow(5, _P - 2, _P) % _P
_BASE = _decode(_BASE_Y.to_bytes(32, "little"))


def verify(public_key, signature, message):
    """Whether `signature` (64 bytes) is `public_key`'s (32 bytes) over `message` (RFC 8032, 5.1.7)."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    key = _decode(public_key)
    s = int.from_bytes(signature[32:], "little")
    if key is None or s >= _L:
        return False
    k = int.from_bytes(sha512(signature[:32] + public_key + message), "little") % _L
    minus_key = (_P - key[0], key[1], 1, _P - key[3])
    # s B - k A in one pass over the bits of both; it must be the signature's R.
    both = _add(_BASE, minus_key)
    total = (0, 1, 1, 0)
    for bit in range(252, -1, -1):
        total = _add(total, total)
        chosen = (s >> bit & 1) | (k >> bit & 1) << 1
        if chosen:
            total = _add(total, (None, _BASE, minus_key, both)[chosen])
    return _encode(total) == signature[:32]
