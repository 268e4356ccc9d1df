"""The common emotion names, and which other words mean the same.

Corpora map their own codes to these names in their own files; manifests and folders of a user's own
are read through :data:`SYNONYMS`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

EMOTIONS = (
    "neutral",
    "calm",
    "happy",
    "sad",
    "angry",
    "fearful",
    "disgust",
    "surprised",
    "bored",
)
"""Every emotion emoscope knows, in the order of every table and picture."""

#: What emoscope's own timelines call parts that hold no emotion.
WITHOUT_SPEECH = ("silence", "non-speech")

_MOST_WORDS = 20  # that a message names

SYNONYMS: Mapping[str, str] = {
    "neutrality": "neutral",
    "neu": "neutral",
    "calmness": "calm",
    "relaxed": "calm",
    "happiness": "happy",
    "joy": "happy",
    "joyful": "happy",
    "hap": "happy",
    "sadness": "sad",
    "anger": "angry",
    "ang": "angry",
    "fear": "fearful",
    "fea": "fearful",
    "afraid": "fearful",
    "scared": "fearful",
    "anxiety": "fearful",
    "anxious": "fearful",
    "disgusted": "disgust",
    "dis": "disgust",
    "surprise": "surprised",
    "sur": "surprised",
    "ps": "surprised",
    "pleasant surprise": "surprised",
    "pleasant surprised": "surprised",
    "boredom": "bored",
    "bor": "bored",
    "freude": "happy",
    "glück": "happy",
    "trauer": "sad",
    "traurig": "sad",
    "ärger": "angry",
    "wut": "angry",
    "wütend": "angry",
    "angst": "fearful",
    "ängstlich": "fearful",
    "ekel": "disgust",
    "überraschung": "surprised",
    "überrascht": "surprised",
    "langeweile": "bored",
    "gelangweilt": "bored",
    "ruhig": "calm",
}
"""Other words, also German ones, for the same emotions: lower case, words separated by one space."""


def canonical(label: str, labels: Mapping[str, str] | None = None) -> str | None:
    """Return the common name of a label, or None when it means no emotion that emoscope knows.

    Parameters
    ----------
    label : str
        Any spelling: case, hyphens, underscores and surrounding space do not matter.
    labels : mapping of str to str, optional
        The caller's own words, looked up as written before anything else.
    """
    if labels and label in labels:
        return labels[label]
    word = " ".join(label.casefold().replace("_", " ").replace("-", " ").split())
    return word if word in EMOTIONS else SYNONYMS.get(word)


def explain(unknown: Mapping[str, int]) -> str:
    """Words that mean no emotion, with how often each is found, and the option that helps."""
    ranked = sorted(unknown.items(), key=lambda item: -item[1])
    words = [f"'{word[:40]}' ({count})" for word, count in ranked[:_MOST_WORDS]]
    more = f" and {len(ranked) - len(words)} more words" if len(ranked) > len(words) else ""
    return (
        f"no emotions that emoscope knows: {', '.join(words)}{more}. Say what such a word means, "
        f"for example --label {shlex.quote(f'{ranked[0][0]}=happy')}, or several in a file: "
        f"--labels FILE.toml. emoscope knows {', '.join(EMOTIONS)}, and words for them in other "
        "languages"
    )


def in_order(emotions: Iterable[str]) -> list[str]:
    """Return the distinct emotions given, in the order of :data:`EMOTIONS`."""
    present = set(emotions)
    return [emotion for emotion in EMOTIONS if emotion in present]
