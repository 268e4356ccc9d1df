"""Several ratings of one clip: the majority's emotion, ties, and how far the raters agree."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import files
from ..corpora import Row
from ..errors import AudioError, CorpusError, check_known
from ..files import printable, sentence

RATERS = ("majority", "soft")  # what models learn of several: the majority's emotion, or shares
_KEY = ("path", "start", "end", "audio_channel", "split")  # the columns that tell clips apart


@dataclass(frozen=True)
class Agreement:
    """How far those agree who rated the clips of a source; clips with one rating do not count."""

    source: str
    n_clips: int
    n_ratings: int
    n_tied: int  # clips without a majority, which are left out
    alpha: float | None  # Krippendorff's; None where all ratings are of one emotion

    def __str__(self) -> str:
        return files.said("agreement", found=self)


def _key(row: Row) -> tuple[str, ...]:
    return tuple(row.get(name, "") for name in _KEY)


def _left_out(row: Row, reason: str) -> AudioError:
    return AudioError(printable(row["path"]), reason)


def settle(
    listed: Sequence[tuple[Row, str]], source: str, *, rated: bool = True,
    foreign: Sequence[Row] = (),
) -> tuple[list[tuple[Row, str]], list[AudioError], list[Agreement]]:  # fmt: skip
    """Give each clip the emotion of its majority; of rows that repeat another the first counts.

    Rows of one recording, span and split are ratings of one clip where they differ in emotion or name
    different raters, as far as the source may be `rated`. Such a clip gets the column ``ratings``:
    ``angry 2, sad 1``. Also returns what is left out, and how far raters agree.
    """
    groups = defaultdict[tuple[str, ...], list[tuple[Row, str]]](list)
    for row, emotion in listed:
        groups[_key(row)].append((row, emotion))
    without = defaultdict[tuple[str, ...], Counter[str]](Counter)
    for row in foreign:
        without[_key(row)][row["label"]] += 1
    several = (key in without or len({e for _, e in group}) > 1 for key, group in groups.items())
    differ = rated and any(several)
    clips, rejected = list[tuple[Row, str]](), list[AudioError]()
    polls, n_tied = list[Counter[str]](), 0
    for key, group in groups.items():
        votes: dict[str, tuple[Row, str]] = {}
        for n, (row, emotion) in enumerate(group):
            rater = row.get("rater", "")
            voter = rater or (f"row {n}" if differ else "")
            if voter in votes:
                who = f" by {printable(rater)}" if rater else ""
                reason = f"listed more than once{who}; the first row is used"
                rejected.append(_left_out(row, reason))
            else:
                votes[voter] = row, emotion
        poll = Counter(emotion for _, emotion in votes.values())
        (winner, most), *others = poll.most_common()
        row = next(row for row, emotion in votes.values() if emotion == winner)
        if len(votes) > 1:
            polls.append(poll)
            said = ", ".join(f"{emotion} {n}" for emotion, n in poll.most_common())
            raters = ", ".join(r["rater"] for r, _ in votes.values() if r.get("rater"))
            row = {**row, "ratings": said, **({"rater": raters} if raters else {})}
        reason = ""
        if others and others[0][1] == most:
            n_tied += 1
            reason = sentence("tied" if raters else "tied_or_parts", said=said)
        elif (words := without[key]) and max(words.values()) >= most:
            said = ", ".join(f"{printable(word)} {n}" for word, n in words.most_common())
            reason = f"no emotion has a majority of its ratings ({winner} {most}, but {said})"
        if reason:
            rejected.append(_left_out(row, reason))
        else:
            clips.append((row, winner))
    if not polls:
        return clips, rejected, []
    counts = pd.DataFrame(polls).fillna(0.0).to_numpy(dtype=np.float64)
    alpha = krippendorff_alpha(counts)
    return clips, rejected, [Agreement(source, len(polls), int(counts.sum()), n_tied, alpha)]


def shares(table: pd.DataFrame, raters: str = "soft") -> pd.DataFrame | None:
    """What share of a clip's ratings each emotion of a table has: a row a clip, a column an emotion.

    None where the majority of `raters` counts; CorpusError where no clip has several ratings.
    """
    check_known("value of --raters", RATERS, raters)
    if raters == "majority":
        return None
    said = table["ratings"] if "ratings" in table else pd.Series("", table.index)
    found = [dict(re.findall(r"(\w+) (\d+)", str(text))) for text in said]
    if not any(found):
        raise CorpusError("--raters soft: no clip has several ratings; give each rating a row")
    emotions = sorted(set(table["emotion"]))
    votes = [poll or {emotion: 1} for poll, emotion in zip(found, table["emotion"], strict=True)]
    counts = np.array([[float(poll.get(e, 0)) for e in emotions] for poll in votes])
    return pd.DataFrame(counts / counts.sum(axis=1, keepdims=True), columns=emotions)


def krippendorff_alpha(counts: NDArray[np.float64]) -> float | None:
    """Krippendorff's alpha of ratings (n_clips, n_emotions); clips with one do not count.

    K. Krippendorff. Content Analysis, 3rd ed., ch. 12. Sage 2013.
    """
    counts = counts[counts.sum(axis=1) > 1]
    n_ratings, of_emotion = counts.sum(), counts.sum(axis=0)
    agreeing = ((counts * (counts - 1)).sum(axis=1) / (counts.sum(axis=1) - 1)).sum()
    expected = (n_ratings**2 - (of_emotion**2).sum()) / max(n_ratings - 1, 1)
    return float(1 - (n_ratings - agreeing) / expected) if expected else None
