"""Runs Wycheproof's Ed25519 file against the firmware. Arguments: the firmware's folder, the file.

"acceptable" is Wycheproof's word for signatures of which the standard leaves the verdict open.
"""

import json
import sys
from binascii import unhexlify

sys.path.insert(0, sys.argv[1])

from pericard_node.ed25519 import verify

right = wrong = open_verdicts = 0
with open(sys.argv[2]) as file:
    groups = json.load(file)["testGroups"]
for group in groups:
    key = unhexlify(group["publicKey"]["pk"])
    for test in group["tests"]:
        said = verify(key, unhexlify(test["sig"]), unhexlify(test["msg"]))
        if test["result"] == "acceptable":
            open_verdicts += 1
        elif said == (test["result"] == "valid"):
            right += 1
        else:
            wrong += 1
            print(test["tcId"], "expected", test["result"])
print(right, "right", wrong, "wrong", open_verdicts, "open")
sys.exit(0 if right and not wrong else 1)
