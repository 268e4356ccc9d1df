"""Finds what lets a test score flatter: voices, recordings and sentences on both sides of a split.

A finding is a *leak* when test clips, or the voices in them, were there to learn from; a *caution*
when it may flatter and cannot always be avoided (the two sentences of RAVDESS); a *note* when it is
worth knowing. A split leaks when there is a leak among its findings.

Recordings are compared by :mod:`emoscope.audit.fingerprint`, so a copy is found that was coded,
amplified, padded or cut.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import compute
from ..errors import AudioError
from ..files import write_atomically
from . import checks, fingerprint, sources
from .checks import Found, Severity

SEVERITIES: tuple[Severity, ...] = ("leak", "caution", "note")

#: Pieces of evidence that a finding lists; it always says how many there are.
MOST_EVIDENCE = 50


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that an audit found.

    Attributes
    ----------
    kind : str
        E.g. ``"shared-speakers"``.
    severity : {"leak", "caution", "note"}
        See the module.
    text : str
        What was found, in a sentence.
    count : int
        How many pieces of evidence there are.
    evidence : list of dict
        The first :data:`MOST_EVIDENCE` of them; with ``fold`` where there are several.
    """

    kind: str
    severity: Severity
    text: str
    count: int
    evidence: list[dict[str, Any]]


@dataclasses.dataclass
class Audit:
    """The outcome of :func:`audit`.

    Attributes
    ----------
    source : str
        What was audited.
    n_splits, n_train, n_test, n_recordings : int
        Splits; clips that train and test in the first; recordings that could be compared.
    findings : list of Finding
        Leaks first.
    rejected : list of AudioError
        Recordings that could not be read.
    inflation : dict or None
        What the split flatters by, from :func:`emoscope.audit.inflation.estimate`.
    """

    source: str
    n_splits: int
    n_train: int
    n_test: int
    n_recordings: int
    findings: list[Finding]
    rejected: list[AudioError] = dataclasses.field(default_factory=list)
    inflation: dict[str, Any] | None = None

    @property
    def leaks(self) -> bool:
        """Whether a leak was found."""
        return any(finding.severity == "leak" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """The outcome in plain words."""
        leaks = [f for f in self.findings if f.severity == "leak"]
        cautions = [f for f in self.findings if f.severity == "caution"]
        if leaks:
            said = "It leaks: " + " ".join(f.text for f in leaks)
            if self.inflation:
                said += (
                    f" A {self.inflation['model']} scores {self.inflation['claimed']:.3f} UAR on "
                    f"this split and {self.inflation['honest']:.3f} on unheard speakers."
                )
            return said
        checked = "" if self.n_recordings else " No recording was at hand to compare."
        if cautions:
            return f"No leak found. With caution: {' '.join(f.text for f in cautions)}{checked}"
        return f"No leak found.{checked}"

    def as_dict(self) -> dict[str, Any]:
        """Everything, JSON-serialisable."""
        return {
            "source": self.source,
            "leaks": self.leaks,
            "verdict": self.verdict,
            "n_splits": self.n_splits,
            "n_train": self.n_train,
            "n_test": self.n_test,
            "n_recordings": self.n_recordings,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "rejected": [{"file": e.path, "reason": e.reason} for e in self.rejected],
            "inflation": self.inflation,
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the JSON file."""
        write_atomically(path, json.dumps(self.as_dict(), indent=1) + "\n")
        return Path(path)


def audit(
    source: str | os.PathLike[str],
    test: str | os.PathLike[str] | None = None,
    *,
    audio: str | os.PathLike[str] | None = None,
    inflation: bool = True,
    seed: int = 0,
    jobs: int | None = None,
    cluster: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Look for leaks in a split.

    Parameters
    ----------
    source : path
        A manifest with a column of splits or folds, an audformat database, a Hugging Face audio
        folder, a folder of EmoBox-style JSON Lines, a saved result, or, with `test`, the list of
        training files; see :mod:`emoscope.audit.sources`.
    test : path, optional
        The list of test files.
    audio : path, optional
        Folder below which recordings are looked for that are not where the source says.
    inflation : bool
        Whether a split that leaks is also measured: one model on it and on unheard speakers. Needs
        the recordings, emotions and speakers.
    seed, jobs, cluster, progress
        As everywhere; `progress` gets recordings done and in all.

    Returns
    -------
    Audit

    Raises
    ------
    CorpusError
        When the source does not say what trains and what tests.
    """
    splits = sources.read(source, test, audio=audio)
    paths = sorted({path for split in splits for path in split.clips["path"] if path})
    prints, rejected = _fingerprints(paths, jobs, cluster, progress)
    readable = [path for path in paths if path in prints]
    matches = fingerprint.matches([prints[path] for path in readable])
    pairs = [(readable[m.first], readable[m.second], m) for m in matches]
    found = [(split.name, found) for split in splits for found in checks.of_split(split, pairs)]
    found += [("", one) for one in checks.of_record(splits[0].record)]
    first = splits[0].clips["side"].value_counts()
    outcome = Audit(
        source=" + ".join(os.fspath(part) for part in (source, test) if part is not None),
        n_splits=len(splits),
        n_train=int(first["train"]),
        n_test=int(first["test"]),
        n_recordings=len(readable),
        findings=_findings(found, len(splits)),
        rejected=rejected,
    )
    if inflation and outcome.leaks:
        from . import inflation as inflations

        outcome.inflation = inflations.of_split(splits[0], seed=seed, jobs=jobs, cluster=cluster)
    return outcome


def _fingerprints(
    paths: Sequence[str],
    jobs: int | None,
    cluster: str | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, fingerprint.Fingerprint], list[AudioError]]:
    prints: dict[str, fingerprint.Fingerprint] = {}
    rejected: list[AudioError] = []
    outcomes = compute.run(fingerprint.fingerprint, paths, jobs=jobs, cluster=cluster)
    for done, (n, outcome) in enumerate(outcomes, 1):
        if isinstance(outcome, AudioError):
            rejected.append(outcome)
        elif isinstance(outcome, Exception):
            raise outcome
        else:
            prints[paths[n]] = outcome
        if progress is not None:
            progress(done, len(paths))
    return prints, rejected


def _findings(found: Sequence[tuple[str, Found]], n_splits: int) -> list[Finding]:
    """One finding per kind over all splits, the most severe first."""
    by_kind: dict[str, list[tuple[str, Found]]] = {}
    for name, one in found:
        by_kind.setdefault(one.kind, []).append((name, one))
    made = []
    for kind, parts in by_kind.items():
        first = parts[0][1]
        distinct = {json.dumps(piece, sort_keys=True) for _, one in parts for piece in one.evidence}
        text = first.one if len(distinct) == 1 else first.many.format(n=len(distinct))
        if n_splits > 1 and parts[0][0]:
            text = f"{text[:-1]} (in {len(parts)} of {n_splits} folds)."
        evidence = [
            {"fold": name, **piece} if name else piece
            for name, one in parts
            for piece in one.evidence
        ]
        made.append(Finding(kind, first.severity, text, len(distinct), evidence[:MOST_EVIDENCE]))
    return sorted(made, key=lambda finding: SEVERITIES.index(finding.severity))
