"""The common emotion names, and which other words mean the same."""

import functools
import os
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping

from .files import DATA, sentence

#: Every emotion emoscope knows, in the order of every table and picture.
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised", "bored")

#: Usual arousal and valence (pleasure), from -1 to 1; calm as 'relaxed', neutral is the origin. Russell
#: & Mehrabian, "Evidence for a three-factor theory of emotions", J. Research in Personality 11, 1977.
POSITIONS: Mapping[str, tuple[float, float]] = {
    "neutral": (0.0, 0.0), "calm": (-0.46, 0.68), "happy": (0.51, 0.81), "sad": (-0.27, -0.63),
    "angry": (0.59, -0.51), "fearful": (0.60, -0.64), "disgust": (0.35, -0.60),
    "surprised": (0.67, 0.40), "bored": (-0.62, -0.65),
}  # fmt: skip
AXES = ("arousal", "valence")

#: What emoscope's own timelines call parts that hold no emotion.
WITHOUT_SPEECH = ("silence", "non-speech")

_MOST_WORDS = 20  # that a message names


def position(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Expected ``arousal`` and ``valence``; empty without emotions, or with one of no position."""
    if not probabilities or not POSITIONS.keys() >= probabilities.keys():
        return {}
    places = [(p, POSITIONS[emotion]) for emotion, p in probabilities.items()]
    return {axis: sum(p * xy[n] for p, xy in places) for n, axis in enumerate(AXES)}


@functools.lru_cache(maxsize=4096)
def folded(label: str) -> str:
    """A label in lower case, without accents, its words separated by one space."""
    letters = unicodedata.normalize("NFKD", label.casefold().translate(_LETTERS))
    bare = "".join(  # without accents, and what has no width
        c for c in letters if not unicodedata.combining(c) and unicodedata.category(c) != "Cf"
    )
    return " ".join(re.sub(r"[_\-\u2010-\u2015]", " ", bare).split())


_LETTERS = str.maketrans({"ł": "l", "ı": "i", "ø": "o", "’": "'"})  # that are no accented ones

with open(os.path.join(DATA, "emotion_words.txt"), encoding="utf-8") as _file:
    _LINES = [line.split() for line in _file if line.strip() and not line.startswith("#")]

#: Other words for the same emotions in ten languages, as :func:`folded` writes them.
SYNONYMS: Mapping[str, str] = {
    folded(word): emotion for _, emotion, *words in _LINES for word in words if word not in EMOTIONS
}


def canonical(label: str, labels: Mapping[str, str] | None = None) -> str | None:
    """The common name of a label, or None when it means no emotion that emoscope knows.

    Case, accents, Unicode form, hyphens, underscores and space do not matter. `labels` are the
    caller's own words, which come first: as written, then in any spelling.
    """
    if labels and label in labels:
        return labels[label]
    word = folded(label)
    for own, emotion in (labels or {}).items():
        if folded(own) == word:
            return emotion
    return word if word in EMOTIONS else SYNONYMS.get(word)


def explain(unknown: Mapping[str, int]) -> str:
    """Words that mean no emotion, with how often each is found, and the option that helps."""
    ranked = sorted(unknown.items(), key=lambda item: -item[1])
    words = [f"'{word[:40]}'" + f" ({n})" * bool(n) for word, n in ranked[:_MOST_WORDS]]
    more = f" and {len(ranked) - len(words)} more words" if len(ranked) > len(words) else ""
    told = {"words": f"{', '.join(words)}{more}", "known": ", ".join(EMOTIONS)}
    return sentence("unknown_emotions", example=shlex.quote(f"{ranked[0][0]}=EMOTION"), **told)


def in_order(emotions: Iterable[str]) -> list[str]:
    """The distinct emotions given, in the order of :data:`EMOTIONS`."""
    present = set(emotions)
    return [emotion for emotion in EMOTIONS if emotion in present]
