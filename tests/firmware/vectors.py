"""Runs vector files against the firmware's AEAD, on MicroPython and on CPython alike.

Arguments: the firmware's folder, then the files. Prints how many gave the right verdict; exits 1 on a wrong
one, on an unknown expectation, or where there was none to run.
"""

import json
import sys
from binascii import unhexlify

sys.path.insert(0, sys.argv[1])

from pericard_node.aead import ChaCha20Poly1305, InvalidTag


def verdict(vector):
    """Gives "valid" only where the firmware opens to, and seals to, what the file says."""
    key, iv, aad, msg = (unhexlify(vector[name]) for name in ("key", "iv", "aad", "msg"))
    sealed = unhexlify(vector["ct"] + vector["tag"])
    if len(iv) != 12:
        try:
            ChaCha20Poly1305(key).encrypt(iv, msg, aad)
        except ValueError:
            return "invalid"
        return "sealed under a nonce of a wrong length"
    cipher = ChaCha20Poly1305(key)
    buffer = bytearray(b"\xa5" * len(msg))
    try:
        cipher.decrypt_into(iv, sealed, aad, buffer)
    except InvalidTag:
        return "invalid" if buffer == b"\xa5" * len(msg) else "a refused plaintext was written"
    if buffer != msg:
        return "opened to something else"
    if cipher.encrypt(iv, msg, aad) != sealed:
        return "sealed to something else"
    return "valid"


def main():
    """Counts the right verdicts of every file."""
    right = wrong = 0
    for path in sys.argv[2:]:
        with open(path) as file:
            found = json.load(file)
        # Wycheproof's files have groups of tests; ours are one group.
        for vector in [test for group in found.get("testGroups", [found]) for test in group["tests"]]:
            said = verdict(vector)
            if vector["result"] in ("valid", "invalid") and said == vector["result"]:
                right += 1
            else:
                wrong += 1
                print(path, vector.get("id", vector.get("tcId")), "expected", vector["result"], "but", said)
    print(right, "right", wrong, "wrong")
    sys.exit(0 if right and not wrong else 1)


main()
