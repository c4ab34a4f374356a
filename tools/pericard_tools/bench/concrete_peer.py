"""Runs in Concrete ML's environment: times its server on one encrypted row for models of several sizes.

`python concrete_peer.py '{"20x3": [20, 3]}'` prints {"version": …, "ms": {"20x3": …}}. A size that does not
compile is left out, and the reason goes to stderr.
"""

import json
import statistics
import sys
import time
from importlib.metadata import version

RUNS = 3


def server_ms(trees: int, depth: int) -> float:
    """The median of a few runs on the breast-cancer data, its usual 6 bits a feature."""
    from concrete.ml.sklearn import XGBClassifier  # type: ignore[import-not-found]
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    values, target = load_breast_cancer(return_X_y=True)
    train, test, known, _ = train_test_split(values, target, test_size=0.25, random_state=0, stratify=target)
    model = XGBClassifier(n_bits=6, n_estimators=trees, max_depth=depth)
    model.fit(train, known)
    circuit = model.compile(train)
    circuit.keygen()
    times = []
    for row in test[:RUNS]:
        encrypted = circuit.encrypt(model.quantize_input(row[None, :]))
        began = time.perf_counter()
        circuit.run(encrypted)
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def main() -> None:
    """Prints the report."""
    found = {}
    for name, (trees, depth) in json.loads(sys.argv[1]).items():
        print(f"Concrete ML {name}", file=sys.stderr, flush=True)
        try:
            found[name] = server_ms(trees, depth)
        # Whatever its compiler says: the other sizes are still to be measured.
        except Exception as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
    print(json.dumps({"version": version("concrete-ml"), "ms": found}))


if __name__ == "__main__":
    main()
