"""liboqs itself, as a peer: npm's liboqs-js is liboqs compiled to WebAssembly. One Node process serves a run.

`tools/node-packages` installs it. Where it or Node is missing, `missing()` says what.
"""

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from kyber_py.ml_kem import ML_KEM_768, ML_KEM_1024

_PACKAGE = Path(__file__).parents[2] / ".envs/node/node_modules/@oqs/liboqs-js"
_OLDEST_NODE = 20  # the package says 22; what it uses of Node is in 20
_EXPANDING = {"ML-KEM-768": ML_KEM_768, "ML-KEM-1024": ML_KEM_1024}


class Refused(Exception):
    """liboqs-js did not take what it was given; the text is its error's name."""


def missing() -> str:
    """What keeps liboqs-js from running here; "" when nothing does."""
    node = shutil.which("node")
    if node is None:
        return "Node.js is not installed: liboqs-js cannot run"
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(shown.strip().lstrip("v").partition(".")[0]) < _OLDEST_NODE:
        return f"Node.js {shown.strip()} is older than {_OLDEST_NODE}: liboqs-js cannot run"
    if not _PACKAGE.is_dir():
        return "liboqs-js is not installed: tools/node-packages installs it"
    return ""


def expanded(algorithm: str, seed: bytes) -> bytes:
    """The decapsulation key that liboqs-js takes, from our private key d ‖ z (FIPS 203, algorithm 16)."""
    return bytes(_EXPANDING[algorithm].key_derive(seed)[1])


class LiboqsJs:
    """The running Node process."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()  # by operation and algorithm
        self._process = subprocess.Popen(
            ["node", Path(__file__).with_name("liboqs.mjs"), _PACKAGE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def stop(self) -> None:
        """Ends the process."""
        self._process.communicate(timeout=30)  # the end of its input is its end

    def generate(self, algorithm: str) -> tuple[bytes, bytes]:
        """A new (expanded private key, public key)."""
        made = self._ask("generate", algorithm)
        return bytes.fromhex(made["secretKey"]), bytes.fromhex(made["publicKey"])

    def encapsulate(self, algorithm: str, public: bytes) -> tuple[bytes, bytes]:
        """A fresh (secret, ciphertext)."""
        made = self._ask("encapsulate", algorithm, publicKey=public)
        return bytes.fromhex(made["sharedSecret"]), bytes.fromhex(made["ciphertext"])

    def decapsulate(self, algorithm: str, private: bytes, wrapped: bytes) -> bytes:
        """The secret in `wrapped`; `private` is expanded."""
        made = self._ask("decapsulate", algorithm, secretKey=private, ciphertext=wrapped)
        return bytes.fromhex(made["sharedSecret"])

    def sign(self, private: bytes, message: bytes) -> bytes:
        """An ML-DSA-65 signature: pure, and with the empty context, for liboqs-js takes no other."""
        return bytes.fromhex(self._ask("sign", "ML-DSA-65", secretKey=private, message=message)["signature"])

    def verify(self, public: bytes, signature: bytes, message: bytes) -> bool:
        """Whether it is an ML-DSA-65 signature of `message` under the empty context."""
        answer = self._ask("verify", "ML-DSA-65", publicKey=public, signature=signature, message=message)
        return bool(answer["right"])

    def _ask(self, op: str, algorithm: str, **values: bytes) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.asked[op, algorithm] += 1
        asked = {"op": op, "algorithm": algorithm, **{name: value.hex() for name, value in values.items()}}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "Node has ended: its error is above"
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            assert answer["error"].startswith("LibOQS"), f"{op} failed by {answer['error']}, not by a refusal"
            raise Refused(answer["error"])
        return answer


class Oqs(ModuleType):
    """What our provider uses of the module `oqs` (liboqs-python), served by liboqs-js.

    Only the expansion of a seed is kyber-py's: liboqs-js does not export it.
    """

    def __init__(self, js: LiboqsJs) -> None:
        super().__init__("oqs")
        self._js = js

    def oqs_version(self) -> str:
        """The package's version is that of the liboqs in it."""
        return str(json.loads((_PACKAGE / "package.json").read_text())["version"])

    def is_kem_enabled(self, algorithm: str) -> bool:
        """Whether it is there."""
        return algorithm in _EXPANDING

    def KeyEncapsulation(self, algorithm: str) -> "_KeyEncapsulation":
        """As the wrapper's class."""
        return _KeyEncapsulation(self._js, algorithm)


class _KeyEncapsulation:
    def __init__(self, js: LiboqsJs, algorithm: str) -> None:
        self._js, self._algorithm, self._private = js, algorithm, b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._private = b""

    def generate_keypair_seed(self, seed: bytes) -> bytes:
        public, self._private = _EXPANDING[self._algorithm].key_derive(seed)
        return bytes(public)

    def encap_secret(self, public: bytes) -> tuple[bytes, bytes]:
        try:
            secret, wrapped = self._js.encapsulate(self._algorithm, public)
        except Refused as error:
            raise RuntimeError("Can not encapsulate secret") from error
        return wrapped, secret

    def decap_secret(self, wrapped: bytes) -> bytes:
        return self._js.decapsulate(self._algorithm, self._private, wrapped)
