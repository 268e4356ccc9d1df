"""scikit-learn's own checks over every model and transformer: ``python benchmarks/estimator_checks.py``.

With parts of names as arguments only these are checked, and the other lines stay. Writes
``results/estimator-checks.md`` and ``.json``. Every check that does not pass is either explained
below or a fault; a fault ends the program with status 1.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from emoscope import __version__, models
from emoscope.dataset.transformer import FeatureTransformer
from emoscope.models.cnn1d import ColumnNetwork
from emoscope.models.cnn2d import FrameNetwork
from emoscope.models.network import Conv, Dropout, Pool

RESULTS = Path(__file__).parents[1] / "results"
WEIGHTS = "check_sample_weight_equivalence_on_"
STEPS = "scikit-learn's Pipeline fits the steps it was given, not copies of them; its own tests expect it"
LIBSVM = (
    "libsvm stops within its tolerance of 0.001 (at 1e-12 the check passes), and the width of the RBF "
    "kernel, gamma='scale', counts clips whatever their weights"
)
LEAVES = (
    "min_samples_leaf counts clips, whatever their weights, so a repeated clip is not a heavier one"
)
LENGTHS = "recordings differ in length; a transformer that asked for one length would be useless"
DRAWS = "a forest draws clips anew for each tree, and other clips when some are repeated"
ROUNDING = "float32 rounds otherwise in a batch of another size, beyond the check's seven digits"
MATRICES = "the rows are matrices, which the check cannot compare"
SMALL = (Conv(8, (1, 3)), Pool((1, 2), "same"), Dropout(0.1))

#: Estimator, or its last step → check → why it does not pass.
EXPLAINED = {
    "Pipeline": {
        "check_estimators_overwrite_params": STEPS,
        "check_dont_overwrite_parameters": STEPS,
    },
    "VotingSVC": {f"{WEIGHTS}dense_data": LIBSVM, f"{WEIGHTS}sparse_data": LIBSVM},
    "DecisionTreeClassifier": {f"{WEIGHTS}dense_data": LEAVES, f"{WEIGHTS}sparse_data": LEAVES},
    "RandomForestClassifier": {f"{WEIGHTS}dense_data": DRAWS, f"{WEIGHTS}sparse_data": DRAWS},
    "ColumnNetwork": {"check_methods_subset_invariance": ROUNDING},
    "FrameNetwork": {"check_methods_subset_invariance": ROUNDING},
    "FeatureTransformer": {"check_n_features_in_after_fitting": LENGTHS},
}


def widened(X: np.ndarray) -> np.ndarray:
    """Each column several times, 64 in all: pooling eight by eight twice leaves one of them."""
    return X[:, np.arange(64) * X.shape[1] // 64]


def framed(X: np.ndarray) -> list[np.ndarray]:
    """Each row as a clip of eight equal frames with every column as five bins."""
    return list(np.repeat(np.repeat(X[:, np.newaxis], 8, axis=1), 5, axis=2))


def prepared(estimator: Any) -> Any:
    """The estimator as the checks can use it: on their few columns, in seconds."""
    if "epochs" not in estimator.get_params():
        return estimator
    estimator.set_params(epochs=12, learning_rate=0.005)
    if isinstance(estimator, ColumnNetwork):
        return make_pipeline(FunctionTransformer(widened, validate=True), estimator)
    if isinstance(estimator, FrameNetwork):
        estimator.set_params(layers=SMALL, frames=8, shift=0, blank_frames=0, blank_bins=0)
        return make_pipeline(FunctionTransformer(framed, validate=True), estimator)
    return estimator


def estimators() -> Iterator[tuple[str, Any]]:
    """Every transformer and every form of every model, by name."""
    yield "features (vectors)", FeatureTransformer("mel")
    yield "features (frames)", FeatureTransformer("logmel")
    yield "cnn1d, small layers", ColumnNetwork(SMALL, epochs=20, learning_rate=0.02)
    for name in models.names():
        info = models.get(name)
        yield f"{name}, sound", prepared(info.build(0))
        if repr(info.as_published(0)) != repr(info.build(0)):
            yield f"{name}, as published", prepared(info.as_published(0))


def check(estimator: Any) -> list[dict[str, Any]]:
    """Run the checks; one outcome each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes: list[dict[str, Any]] = check_estimator(estimator, on_fail=None, on_skip=None)
    return outcomes


def explanation(estimator: Any, outcome: dict[str, Any]) -> str | None:
    """Why a check does not pass, or None when nobody knows."""
    parts = [estimator, *([estimator[-1]] if isinstance(estimator, Pipeline) else [])]
    for part in parts:
        known = EXPLAINED.get(type(part).__name__, {})
        if outcome["check_name"] in known:
            return known[outcome["check_name"]]
    return MATRICES if "truth value of an array" in str(outcome["exception"]) else None


def row(name: str, estimator: Any) -> dict[str, Any]:
    """One line of the table."""
    begun = time.perf_counter()
    line: dict[str, Any] = {"estimator": name, "explained": {}, "faults": {}}
    outcomes = check(estimator)
    line |= Counter(outcome["status"] for outcome in outcomes)
    for outcome in outcomes:
        if outcome["status"] == "failed":
            why = explanation(estimator, outcome)
            group, text = ("explained", why) if why else ("faults", str(outcome["exception"]))
            line[group][outcome["check_name"]] = text
    line["seconds"] = round(time.perf_counter() - begun, 1)
    return line


def table(lines: list[dict[str, Any]]) -> str:
    """The outcome as Markdown."""
    text = [
        "# scikit-learn's estimator checks",
        "",
        f"emoscope {__version__}, scikit-learn {sklearn.__version__}: "
        "`python benchmarks/estimator_checks.py`.",
        "",
        "| estimator | passed | explained | faults | skipped | s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for line in lines:
        failed = line.get("failed", 0)
        faults = len(line["faults"])
        text.append(
            f"| {line['estimator']} | {line.get('passed', 0)} | {failed - faults} | {faults} | "
            f"{line.get('skipped', 0)} | {line['seconds']} |"
        )
    reasons: dict[str, dict[str, None]] = {}
    for line in lines:
        for name, why in line["explained"].items():
            reasons.setdefault(why, {})[f"`{name}`"] = None
    text += ["", "What does not pass, and why:", ""]
    text += [f"- {', '.join(names)}: {why}." for why, names in reasons.items()]
    text += [
        "",
        "Networks are checked with 12 epochs. Those over columns get the columns of the checks "
        "repeated, because they pool eight by eight; the sound ones over spectrograms get rows as "
        "clips of eight frames, and small layers. The published ones over pictures take clips "
        "alone, so scikit-learn runs its checks of parameters, clones and tags on them, and "
        "tests/test_models.py the others. Skipped are checks of what does not apply.",
    ]
    return "\n".join(text) + "\n"


def main() -> int:
    """Check everything and write the table."""
    file = RESULTS / "estimator-checks.json"
    chosen = sys.argv[1:]
    kept = {line["estimator"]: line for line in json.loads(file.read_text())} if chosen else {}
    lines = []
    for name, estimator in estimators():
        if chosen and not any(part in name for part in chosen):
            lines += [kept[name]] if name in kept else []
            continue
        lines.append(row(name, estimator))
        print(name, {k: lines[-1].get(k, 0) for k in ("passed", "failed", "seconds")}, flush=True)
        for check_name, text in lines[-1]["faults"].items():
            print(f"  {check_name}: {text[:200]}", file=sys.stderr, flush=True)
    RESULTS.mkdir(exist_ok=True)
    file.write_text(json.dumps(lines, indent=1) + "\n")
    (RESULTS / "estimator-checks.md").write_text(table(lines))
    return int(any(line["faults"] for line in lines))


if __name__ == "__main__":
    sys.exit(main())
