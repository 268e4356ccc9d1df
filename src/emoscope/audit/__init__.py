"""Finds what lets a test score flatter: voices, recordings and sentences on both sides of a split.

A finding is a *leak* when test clips, or the voices in them, were there to learn from; a *caution*
when it may flatter and cannot always be avoided; a *note* when it is worth knowing.
"""

import dataclasses
import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .. import compute
from ..audio import Excerpt, fingerprint
from ..audio.excerpt import by_file
from ..corpus.clips import excerpts
from ..dataset import voices
from ..errors import AudioError, EmoscopeError
from ..files import said, write_atomically
from . import checks, sources
from .checks import Evidence, Severity

SEVERITIES: tuple[Severity, ...] = ("leak", "caution", "note")
MAX_EVIDENCE = 50  # entries that a finding lists; it always says how many there are


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that an audit found."""

    kind: str  # one of checks.KINDS, e.g. "shared-speakers"
    severity: Severity
    text: str
    count: int  # of all its evidence
    evidence: list[Evidence]  # the first MAX_EVIDENCE of them; with "fold" where there are several


@dataclasses.dataclass(frozen=True)
class Audit:
    """The outcome of :func:`audit`."""

    source: str
    n_splits: int
    n_train: int  # clips of the first split
    n_test: int
    n_recordings: int  # that could be compared
    findings: list[Finding]  # leaks first
    rejected: list[AudioError]  # recordings that could not be read
    voices: str = ""  # outcome of comparing the speakers' voices, or why they were not compared
    sentences: checks.SharedSentences | None = None  # None where no words are known

    @property
    def leaks(self) -> bool:
        """Whether a leak was found."""
        return any(finding.severity == "leak" for finding in self.findings)

    @property
    def headline(self) -> str:
        """Whether a leak was found, in a few words."""
        return said("audit", audit=self, findings=())

    @property
    def verdict(self) -> str:
        """The outcome in plain words."""
        return said("audit", audit=self, findings=self.findings)

    def as_dict(self) -> dict[str, object]:
        """Everything, JSON-serialisable."""
        own = dataclasses.asdict(dataclasses.replace(self, rejected=[]))
        rejected = [{"file": e.path, "reason": e.reason} for e in self.rejected]
        first = {"source": self.source, "leaks": self.leaks, "verdict": self.verdict}
        return {**first, **own, "rejected": rejected}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the JSON file."""
        write_atomically(path, json.dumps(self.as_dict(), indent=1) + "\n")
        return Path(path)


def audit(
    source: str | os.PathLike[str], test: str | os.PathLike[str] | None = None, *,
    audio: str | os.PathLike[str] | None = None, jobs: int | None = None, cluster: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Audit:  # fmt: skip
    """Look for leaks in a split; CorpusError when the source does not say what trains and tests.

    The source is a manifest with a column of splits or folds, an audformat database, a Hugging Face
    audio folder, a folder of EmoBox-style JSON Lines, a saved result, or the list of training
    files, with `test` as the list of test files. Recordings that are not where it says are looked
    for below `audio`.
    """
    splits = sources.read(source, test, audio=audio)
    prints, rejected = _fingerprints(splits, jobs, cluster, progress)
    parts, marks = list(prints), list(prints.values())
    found_alike = ((parts[m.first], parts[m.second], m) for m in fingerprint.matches(marks))
    # Of parts of one file, the times say how they overlap.
    pairs = [(str(one), str(two), m) for one, two, m in found_alike if one.path != two.path]
    sides = splits[0].clips["side"].value_counts()
    voice_checks = checks.check_speakers(splits, jobs=jobs, cluster=cluster) if prints else {}
    return Audit(
        source=" + ".join(os.fspath(part) for part in (source, test) if part is not None),
        n_splits=len(splits),
        n_train=int(sides["train"]),
        n_test=int(sides["test"]),
        n_recordings=len(prints),
        findings=_findings(splits, pairs, checks.of_voices(voice_checks, splits)),
        rejected=rejected,
        sentences=checks.shared_sentences(splits),
        voices=voices.words(voice_checks),
    )


def _fingerprints(
    splits: Sequence[sources.Split], jobs: int | None, cluster: str | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[Excerpt, fingerprint.Fingerprint], list[AudioError]]:  # fmt: skip
    """The fingerprint of every recording, or part of one, that can be read, in order."""
    listed = {str(part): part for split in splits for part in excerpts(split.clips) if part.path}
    parts = [listed[name] for name in sorted(listed)]
    files = [[parts[n] for n in numbers] for numbers in by_file(parts).values()]
    found: dict[Excerpt, fingerprint.Fingerprint | AudioError] = {}
    for n, outcome in compute.run(fingerprint.of_file, files, jobs=jobs, cluster=cluster):
        if isinstance(outcome, EmoscopeError):
            raise outcome
        found |= zip(files[n], outcome, strict=True)
        if progress is not None:
            progress(len(found), len(parts))
    rejected = [one for one in found.values() if isinstance(one, AudioError)]
    marks = ((part, found[part]) for part in parts)
    return {part: mark for part, mark in marks if not isinstance(mark, AudioError)}, rejected


def _findings(
    splits: Sequence[sources.Split], pairs: checks.Pairs, of_voices: Mapping[str, list[Evidence]]
) -> list[Finding]:
    """One finding for each kind over all splits, the most severe first."""
    by_kind = defaultdict[str, list[tuple[str, list[Evidence]]]](list)
    spoken = checks.shared_sentences(splits)
    found = [(split.name, checks.of_split(split, pairs)) for split in splits]
    for name, of_kind in [*found, ("", checks.of_record(splits[0].record)), ("", of_voices)]:
        for kind, evidence in of_kind.items():
            if evidence:
                by_kind[kind].append((name, evidence))
    findings = []
    for kind, parts in by_kind.items():
        distinct = {json.dumps(piece, sort_keys=True) for _, part in parts for piece in part}
        severity, text = checks.assess(kind, parts[0][1], len(distinct), spoken)
        if len(splits) > 1 and parts[0][0]:
            text = f"{text[:-1]} (in {len(parts)} of {len(splits)} folds)."
        evidence = [({"fold": name} if name else {}) | one for name, part in parts for one in part]
        findings.append(Finding(kind, severity, text, len(distinct), evidence[:MAX_EVIDENCE]))
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
