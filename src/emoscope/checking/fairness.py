"""Whether a model serves groups of people alike, with thresholds from simulated fair models.

A fair model does not know the groups, yet it recognises some speakers better than others. It is
simulated by assigning whole speakers, with all their labels, to the groups at random (for sentences, the
labels of one speaker and emotion change places). Each difference is divided by its standard error over
speakers, and each factor of a corpus by the 98 % quantile of its largest ratio. The 98 % quantile of the
largest of all bounds every test, so that 98 % of the fair models pass all of them together
(P. Westfall, S. Young. Resampling-based multiple testing. Wiley 1993).
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..files import printable, sentence
from .sounds import Random
from .tests import MAX_BROKEN, MEMORY, Broken, Outcome, texts

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
# The tests of one factor in one corpus, without thresholds, their standard errors, and (1 + runs, n_tests)
# differences over standard errors, of which the first row is the real one.
Family: TypeAlias = tuple[list[Outcome], list[float], Array]

RUNS = 1000  # simulated fair models
LEVEL = 0.98  # share of them that passes every test: in 200 runs hardly ever fewer than 95 %
MIN_SPEAKERS, MIN_CLIPS, MIN_SPOKEN = 3, 3, 8  # of a group; of an emotion in it; of a sentence
CHUNK = 50  # simulated models computed at once: bounds the memory
FACTORS = {"gender": "sex", "pitch": "pitch", "age": "age"}


def outcomes(answers: pd.DataFrame, *, runs: int = RUNS, seed: int = 0) -> Iterator[Outcome]:
    """Test the differences between groups of speakers, and between sentences.

    `answers` has a row per clip: ``corpus, clip, path, speaker, emotion, predicted, confidence`` and
    ``p_<emotion>``; where known ``gender, age, text`` and ``f0`` (mean, Hz). `runs` fair models are
    simulated.
    """
    rng = np.random.default_rng(seed)
    known = answers["emotion"].map(lambda emotion: f"p_{emotion}" in answers).astype(bool)
    rows = answers[known & answers["speaker"].fillna("").ne("")].reset_index(drop=True)
    if rows.empty:
        yield _test("speakers", "Differences between groups", skipped="no speaker is known")
        return
    rows["who"] = rows.groupby(["corpus", "speaker"]).ngroup()
    rows["cell"] = rows["corpus"] + "/" + rows["emotion"]
    people = _people(rows)
    within = _shuffled(people["corpus"].factorize()[0], runs, rng)
    across = _shuffled(np.zeros(len(people), np.intp), runs, rng)
    made: dict[str, Family | str] = {}
    for corpus, part in rows.groupby("corpus", sort=False):
        for factor, by in FACTORS.items():
            if factor in people:
                name = f"{by}/{corpus}"
                made[name] = _compare(part, people[factor], within, name)
        made[f"sentence/{corpus}"] = _sentences(part, str(corpus), runs, rng)
    if people["corpus"].nunique() > 1:
        if "gender" in people:
            made["sex/all"] = _compare(rows, people["gender"], within, "sex/all")
        by_emotion = rows.assign(cell=rows["emotion"])
        made["corpus/all"] = _compare(by_emotion, people["corpus"], across, "corpus/all")
    families = [one for one in made.values() if not isinstance(one, str)]
    largest = [ratios.max(axis=1) for _, _, ratios in families]
    scale = [max(float(np.quantile(values, LEVEL)), 1e-9) for values in largest]
    shares = [values / unit for values, unit in zip(largest, scale, strict=True)]
    limit = float(np.quantile(np.max(shares, axis=0), LEVEL, method="higher")) if shares else 0.0
    n = sum(len(tests) for tests, _, _ in families)
    basis = str(texts("fairness")["basis"]).format(runs=runs, level=LEVEL, n=n)
    for (tests, errors, _), unit in zip(families, scale, strict=True):
        for test, error in zip(tests, errors, strict=True):
            reason = "" if np.isfinite(test.value + error) else "a group has no clips to compare"
            threshold = limit * unit * error
            tested = dataclasses.replace(test, threshold=threshold, basis=basis, skipped=reason)
            yield tested if tested.failed else dataclasses.replace(tested, clips=())
    for name, why in made.items():
        if isinstance(why, str):
            yield _test(name, f"Differences by {name.replace('/', ', ')}", skipped=why)


def _test(
    name: str, title: str, value: float = math.nan, wrong: pd.DataFrame | None = None, *,
    memory: bool = False, skipped: str = "",
) -> Outcome:  # fmt: skip
    """A test without threshold, whose clips are the first of those that are wrong."""
    by, _, key = name.partition("/")
    whys = texts("fairness")
    why = str(whys.get(key.rpartition("/")[2]) or whys.get(by) or whys["served"])
    shown = wrong.head(MAX_BROKEN).itertuples() if wrong is not None else ()
    clips = tuple(Broken(str(c.path), str(c.emotion), str(c.predicted)) for c in shown)
    return Outcome(
        "fairness", f"fairness/{name}", title + MEMORY * memory, why, value, math.nan, False, "",
        clips, skipped, memory,
    )  # fmt: skip


def _people(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per speaker, by number: corpus, sex, pitch group and age group, "" where unknown."""
    people = rows.groupby("who").agg({"corpus": "first"})
    if "gender" in rows:
        people["gender"] = rows.groupby("who")["gender"].first().fillna("").astype(str)
    for name, column, words in (
        ("pitch", "f0", ("low", "middle", "high")),
        ("age", "age", ("younger", "older")),
    ):
        if column in rows:
            values = pd.to_numeric(rows[column], errors="coerce").groupby(rows["who"]).mean()
            rank = values.groupby(people["corpus"]).rank(pct=True, method="average")
            place = np.ceil(rank.fillna(0.0) * len(words) - 1e-9).astype(int)
            people[name] = np.array(["", *words])[place]
    return people


def _shuffled(blocks: Codes, runs: int, rng: Random) -> Codes:
    """(1 + runs, n): who takes whose place, within blocks; in the first row everybody their own."""
    keys = blocks + rng.random((runs, len(blocks)))
    places = np.argsort(blocks, kind="stable")
    order = np.empty((1 + runs, len(blocks)), np.intp)
    order[0] = np.arange(len(blocks))
    order[1:, places] = np.argsort(keys, axis=1)
    return order


def _compare(rows: pd.DataFrame, group_of: pd.Series, order: Codes, name: str) -> Family | str:
    """The tests of the differences between groups of speakers; or why there are none."""
    rows = rows.assign(group=rows["who"].map(group_of))
    sizes = rows.groupby("group")["who"].nunique()
    groups = sorted(group for group in sizes.index[sizes >= MIN_SPEAKERS] if group)
    if len(groups) < 2:
        return f"fewer than two groups of at least {MIN_SPEAKERS} speakers"
    rows = rows[rows["group"].ne("")]
    enough = rows.groupby(["group", "cell"]).size().unstack(fill_value=0).loc[groups] >= MIN_CLIPS
    rows = rows[rows["cell"].isin(enough.columns[enough.sum() > 1])]
    speakers, who = np.unique(rows["who"].to_numpy(), return_inverse=True)
    cell, cells = pd.factorize(rows["cell"], sort=True)
    usable = enough[list(cells)].to_numpy()
    if not usable.all(axis=0).any():
        return f"no emotion with at least {MIN_CLIPS} clips in every group"
    given = pd.get_dummies(rows["predicted"], dtype=float)
    right = rows["emotion"].eq(rows["predicted"])
    values = np.column_stack([right, rows["confidence"], given]).astype(float)
    sums = np.zeros((len(speakers), len(cells), values.shape[1]))
    np.add.at(sums, (who, cell), values)
    weights = pd.get_dummies([name.rpartition("/")[2] for name in cells], dtype=float)
    code = np.array([groups.index(g) if g in groups else -1 for g in group_of])
    means, variances = _estimates(
        sums, (weights / weights.sum()).to_numpy(), usable.all(axis=0), code[order[:, speakers]],
        len(groups),
    )  # fmt: skip
    of_all = np.tile(usable.any(axis=1, keepdims=True), (1, values.shape[1]))
    means[:, ~np.hstack([usable @ weights.to_numpy() > 0, of_all])] = np.nan
    keys, labels = [*weights, "uar", "confidence", *["labels"] * len(given.columns)], list(given)
    return _largest(rows, groups, keys, labels, means, variances, name)


def _estimates(
    sums: Array, weights: Array, shared: NDArray[np.bool_], code: Codes, n_groups: int
) -> tuple[Array, Array]:
    """Means of each group and their variances over speakers, both (1 + runs, n_groups, n_columns).

    `sums` has, of each speaker and cell (an emotion of a corpus), the clips that are right, their
    confidence and how many got each label. Columns: recall of each emotion, UAR, confidence, share of
    each label. The variance over few speakers is unsure, so half of it is what its like have.
    """
    clips, n_emotions = sums[:, :, 2:].sum(axis=2), weights.shape[1]
    shape = (len(code), n_groups, n_emotions + sums.shape[2])
    means, variances = np.full(shape, np.nan), np.full(shape, np.nan)
    for start, g in itertools.product(range(0, len(code), CHUNK), range(n_groups)):
        part = slice(start, start + CHUNK)
        inside = (code[part] == g).astype(np.float64)
        n = inside.sum(axis=1)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            total = (inside @ clips)[:, :, None]
            rate = np.tensordot(inside, sums, axes=1) / total
            off = (sums - rate[:, None] * clips[:, :, None]) / total[:, None]
            # Without clips of one emotion, nothing is known of that one alone.
            absent = np.where((total[..., 0] == 0) @ (weights > 0), np.nan, 0.0)
            finite = (np.nan_to_num(v[..., 0], posinf=0.0, neginf=0.0) for v in (rate, off))
            recall, off_recall = (values @ weights for values in finite)
            means[part, g] = np.hstack([recall + absent, rate[:, shared].mean(axis=1)])
            moved = np.dstack([off_recall + absent[:, None], off[:, :, shared].mean(axis=2)])
            variances[part, g] = np.einsum("ps,psk->pk", inside, moved**2) * n / (n - 1)
    prior = variances.copy()
    recalls, labels = slice(0, n_emotions), slice(n_emotions + 2, None)
    for like in (recalls, labels):
        known = np.isfinite(variances[..., like]).sum(axis=2, keepdims=True)
        total = np.nansum(variances[..., like], axis=2, keepdims=True)
        prior[..., like] = total / np.maximum(known, 1)
    # Were the recalls of a speaker independent, the variance of their mean would be this.
    prior[..., n_emotions] = prior[..., 0] / n_emotions
    return means, (variances + prior) / 2.0


def _largest(
    rows: pd.DataFrame, groups: list[str], keys: list[str], labels: list[str],
    means: Array, variances: Array, name: str,
) -> Family:  # fmt: skip
    """For each test the pair of groups, and the label, whose difference is largest for its error."""
    pairs = list(itertools.combinations(range(len(groups)), 2))
    first, second = np.transpose(pairs)
    difference = np.abs(means[:, first] - means[:, second])
    error = np.sqrt(variances[:, first] + variances[:, second])
    ratio = np.nan_to_num(difference / np.maximum(error, 1e-9), nan=0.0)
    by, _, scope = name.partition("/")
    tests, errors, ratios = list[Outcome](), list[float](), list[Array]()
    for key in dict.fromkeys(keys):
        mine = np.flatnonzero([k == key for k in keys])
        ratios.append(ratio[:, :, mine].max(axis=(1, 2)))
        pair, k = np.unravel_index(ratio[0][:, mine].argmax(), (len(pairs), len(mine)))
        column = int(mine[k])
        low, high = sorted(pairs[pair], key=lambda g: means[0, g, column])
        wrong = rows["emotion"] != rows["predicted"]
        if key == "labels":
            what = f"share of the label {labels[k]}"
            wrong &= rows["group"].eq(groups[high]) & rows["predicted"].eq(labels[k])
        else:
            what = {"uar": "UAR", "confidence": "confidence"}.get(key, f"recall of {key}")
            wrong &= rows["group"].eq(groups[low]) & (rows["emotion"].eq(key) | (key == "uar"))
        found = ", ".join(f"{groups[g]} {means[0, g, column]:.2f}" for g in (low, high))
        title = f"{what[0].upper()}{what[1:]} by {by}, {scope}: {found}"
        value, memory = float(difference[0, pair, column]), _memory(rows)
        tests.append(_test(f"{name}/{key}", title, value, rows[wrong], memory=memory))
        errors.append(float(error[0, pair, column]))
    return tests, errors, np.column_stack(ratios)


def _sentences(rows: pd.DataFrame, corpus: str, runs: int, rng: Random) -> Family | str:
    """The test of the sentence whose clips differ most from the same speakers' others, per emotion."""
    text = rows["text"].fillna("") if "text" in rows else pd.Series("", rows.index)
    rows = rows[text.ne("")]
    rows = rows[rows.groupby(["who", "cell"])["clip"].transform("size") > 1]
    sizes = rows["text"].value_counts()
    texts = list(sizes.index[sizes >= MIN_SPOKEN])
    if len(sizes) < 2 or not texts:
        return f"fewer than two sentences, or none with {MIN_SPOKEN} clips"
    right = (rows["emotion"] == rows["predicted"]).astype(float)
    spoken = right.groupby([rows["who"], rows["cell"]])
    off = (right - spoken.transform("mean")).to_numpy()
    variance = spoken.transform("var").to_numpy()
    variance = (variance + variance.mean()) / 2.0
    code = pd.Categorical(rows["text"], texts).codes
    member = np.eye(len(texts) + 1)[code][:, : len(texts)]  # (n_clips, n_texts); others have none
    n = member.sum(axis=0)
    others = len(rows) / np.maximum(len(rows) - n, 1.0)  # a mean holds the sentence's own clips
    difference = (off[_shuffled(spoken.ngroup().to_numpy(), runs, rng)] @ member) / n * others
    error = np.sqrt(variance @ member) / n * others
    ratio = np.abs(difference) / np.maximum(error, 1e-9)
    t = int(ratio[0].argmax())
    told = {"corpus": corpus, "difference": difference[0, t], "text": printable(texts[t])}
    title = sentence("recall_by_sentence", **told)
    wrong = rows[(code == t) & (right.to_numpy() == 0.0)]
    value, memory = float(abs(difference[0, t])), _memory(rows)
    test = _test(f"sentence/{corpus}/uar", title, value, wrong, memory=memory)
    return [test], [float(error[t])], ratio.max(axis=1, keepdims=True)


def _memory(rows: pd.DataFrame) -> bool:
    return "in_training" in rows and bool(rows["in_training"].any())
