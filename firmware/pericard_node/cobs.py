"""Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999): a packet without 0x00, then 0x00."""

try:
    import micropython
except ImportError:
    from pericard_node.plain import micropython, ptr8


def packet_bytes(n):
    """The most bytes that n bytes take: one code byte per started run of 254, and the closing 0x00."""
    return n + n // 254 + 2


@micropython.viper
def encode_into(data, n: int, out) -> int:
    """Writes data[:n] as a packet with its closing 0x00 to `out`; returns its length."""
    d = ptr8(data)
    o = ptr8(out)
    code = 0  # where the length of the run under way will stand
    at = 1
    run = 1
    for i in range(n):
        octet = int(d[i])
        if octet:
            o[at] = octet
            at += 1
            run += 1
        if octet == 0 or (run == 255 and i + 1 < n):
            o[code] = run
            code = at
            at += 1
            run = 1
    o[code] = run
    o[at] = 0
    return at + 1
