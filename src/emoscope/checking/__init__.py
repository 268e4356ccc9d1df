"""``emoscope check``: tests of any model, each with a threshold and the source of that threshold.

Groups of tests: *behaviour* (needs no corpus), *correctness* and *fairness* (clips as they are) and
*robustness* (a part of the clips under every condition of :mod:`emoscope.checking.sounds`).
"""

import contextlib
import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import pandas as pd

from .._version import __version__
from ..corpus import Corpus, load
from ..errors import CorpusError, EmoscopeError
from ..files import sentence
from ..modelfile import ModelFile
from ..modelfile.about import About
from ..prediction import Predictor
from . import answers, fairness, sounds, tests
from .answers import Answers, Tick
from .tests import Broken, Outcome

__all__ = ["Broken", "Checked", "Outcome", "check", "corpora_in"]

VARIABLE = "EMOSCOPE_DATA"  # names the folder of corpora that are used where none is given
GROUPS = ("correctness", "fairness", "robustness", "behaviour")
#: Clips of a corpus as they are, clips of all corpora under every condition, and of those for copies.
FULL, QUICK = (360, 160, 24), (48, 24, 6)

Progress = Callable[[int, int], None]
Found = Callable[[Sequence[Outcome]], None]


@dataclasses.dataclass(frozen=True)
class Checked:
    """What the tests of one model found."""

    model: str
    about: About
    seconds: float
    sources: tuple[str, ...]  # the corpora
    outcomes: tuple[Outcome, ...]
    quick: bool = False
    notes: tuple[str, ...] = ()  # what must be known of what was not tested
    rejected: tuple[str, ...] = ()  # clips that were left out, each with the reason
    emoscope: str = __version__
    date: str = dataclasses.field(default_factory=lambda: time.strftime("%Y-%m-%d", time.gmtime()))
    answers: pd.DataFrame = dataclasses.field(
        default_factory=pd.DataFrame, repr=False, compare=False
    )

    @property
    def failed(self) -> list[Outcome]:
        """The tests that failed."""
        return [one for one in self.outcomes if one.failed]

    @property
    def memory(self) -> int:
        """How many tests passed on clips that the model was trained on."""
        return sum(one.passed and one.memory for one in self.outcomes)

    def counts(self, group: str = "") -> tuple[int, int, int]:
        """How many tests passed, failed and were skipped, of one group or all."""
        words = [one.word for one in self.outcomes if group in ("", one.group)]
        return words.count("passed"), words.count("failed"), words.count("skipped")

    def to_json(self) -> str:
        """``check.json``: everything but the answers; null for what was not measured."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)[:-1]}
        each = [{**dataclasses.asdict(o), "passed": o.passed} for o in self.outcomes]
        encoded = msgspec.json.encode({**values, "outcomes": each})
        return msgspec.json.format(encoded, indent=1).decode()

    @classmethod
    def from_json(cls, text: str) -> "Checked":
        """The reverse of :meth:`to_json`, without the answers; a ValueError where it is none."""
        values = msgspec.json.decode(text)
        for one in values["outcomes"]:
            one |= {key: math.nan for key in ("value", "threshold") if one[key] is None}
        return msgspec.convert(values, cls)


def corpora_in(folder: str | None) -> list[str]:
    """The folders of a folder that hold a corpus; none without such a folder."""
    found = []
    for place in sorted(Path(folder).glob("*/")) if folder else ():
        with contextlib.suppress(EmoscopeError):
            load(place)
            found.append(str(place))
    return found


def check(
    model: ModelFile, corpus: Corpus | None = None, *, quick: bool = False, seed: int = 0,
    jobs: int | None = None,
    progress: Progress = lambda done, total: None, found: Found = lambda outcomes: None,
) -> Checked:  # fmt: skip
    """Test a model on the clips of one corpus or several; without a corpus its behaviour alone.

    With `quick` fewer clips and conditions, in less than a minute. `progress` takes units of work done
    and in all, `found` outcomes as they come. A CorpusError when model and corpus share fewer than two
    emotions, or no clip can be read.
    """
    begun, predictor, made = time.monotonic(), Predictor(model), list[Outcome]()
    n_clips, n_changed, n_copied = QUICK if quick else FULL
    conditions = [one for one in sounds.conditions() if one.quick or not quick]
    without = ["no corpus was given: only the behaviour was tested"]
    chosen, notes = _choose(model, corpus, n_clips, seed) if corpus else (None, without)
    n_kept = min(n_changed, len(chosen)) if chosen else 0
    total = (
        (len(chosen) if chosen else 0) + n_kept * len(conditions) + len(tests.texts("copies")) + 16
    )
    count = itertools.count(1)

    def tick() -> None:
        progress(done := next(count), max(total, done))

    def give(outcomes: Iterable[Outcome]) -> None:
        made.extend(few := list(outcomes))
        found(few)

    give(tests.without_speech(predictor, tick))
    signals = [signal for _, signal in sounds.not_speech() if signal.samples.any()]
    tables, rejected, names = list[pd.DataFrame](), list[str](), list[str]()
    if chosen:
        names = list(pd.unique(chosen.table["corpus"]))
        kept = answers.sample(chosen.table, max(1, n_changed // len(names)), seed + 1).index
        clean = answers.clean(predictor, chosen, kept, jobs=jobs, tick=tick)
        rejected = [str(error) for error in (*chosen.rejected, *clean.rejected)]
        if not len(clean.table):
            raise CorpusError(f"no clip of '{chosen.name}' can be used; first: {rejected[0]}")
        give(tests.correctness(clean.table, model.card))
        give(fairness.outcomes(clean.table, seed=seed))
        tables.append(clean.table)
        signals = list(clean.kept.values())
    signals = signals[:: max(1, len(signals) // n_copied)][:n_copied]
    give(tests.consistency(predictor, signals, jobs=jobs, tick=tick))
    for condition in conditions if chosen and clean.kept else ():
        give(_under(predictor, clean, condition, tables, seed=seed, jobs=jobs, tick=tick))
    seconds = round(time.monotonic() - begun, 1)
    return Checked(
        model.card.name, model.card.about, seconds, tuple(names),
        tuple(sorted(made, key=lambda one: GROUPS.index(one.group))), quick,
        tuple(notes), tuple(rejected), answers=pd.concat([*tables, pd.DataFrame()]),
    )  # fmt: skip


def _choose(model: ModelFile, corpus: Corpus, at_most: int, seed: int) -> tuple[Corpus, list[str]]:
    """The clips that are tested, and what must be said of the others."""
    table = corpus.table.reset_index(drop=True)
    known = table["emotion"].isin(model.card.emotions)
    notes = list(corpus.notes)
    if table["emotion"][known].nunique() < 2:
        told = {"known": ", ".join(model.card.emotions), "found": ", ".join(corpus.emotions)}
        raise CorpusError(sentence("few_shared", had=f"the corpus '{corpus.name}' has", **told))
    if not known.all():
        names = ", ".join(sorted(set(table["emotion"][~known])))
        notes.append(f"{(~known).sum()} clips left out: the model does not know {names}")
    chosen = answers.sample(table[known], at_most, seed)
    if len(chosen) < known.sum():
        notes.append(sentence("sampled", n=len(chosen), of=known.sum()))
    return dataclasses.replace(corpus, table=chosen.reset_index(drop=True)), notes


def _under(
    predictor: Predictor, clean: Answers, condition: sounds.Condition, tables: list[pd.DataFrame], *,
    seed: int, jobs: int | None, tick: Tick,
) -> list[Outcome]:  # fmt: skip
    """The outcomes of one condition, whose answers are added to the tables."""
    before = clean.table.loc[list(clean.kept)]
    try:
        after = answers.changed(predictor, clean, condition, seed=seed, jobs=jobs, tick=tick)
    except sounds.Unusable as error:
        for _ in clean.kept:
            tick()
        nan = tests.robustness(before, before, condition)
        return [dataclasses.replace(one, value=math.nan, skipped=str(error)) for one in nan]
    tables.append(after)
    copied = tests.memory(before, after) if condition.name.startswith("copy/") else ()
    return [*tests.robustness(before, after, condition), *copied]
