"""What a model is to the rest of emoscope, and how training speakers are held out.

A model is a scikit-learn classifier: ``fit(X, y)``, ``predict``, ``predict_proba``, ``classes_``,
with any scaling inside. Its input is either *vector*, ``X`` of shape ``(n_clips, n_columns)``, or
*frames*, a sequence of ``n_clips`` arrays of shape ``(n_frames, n_bins)``. A model that stops its
training early has a ``groups`` parameter in ``fit``, the speaker of each clip: it finds the number
of epochs on training speakers set aside, voices it has not heard, and then learns from all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

from ..errors import ModelError

Build: TypeAlias = Callable[[int], Any]
"""Makes an unfitted scikit-learn classifier from a seed."""


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """One model under its public name.

    Parameters
    ----------
    name : str
        Public name, as given to ``--models``.
    title : str
        What a report calls it.
    input : {"vector", "frames"}
        The kind of feature it takes.
    build : callable
        ``build(seed)`` gives the sound form: scaled input, regularised, nothing learned from the
        test speakers.
    as_published : callable
        ``as_published(seed)`` gives the form of the original student project; without one, the
        sound form stands for it.
    published : mapping of str to callable
        Every variant whose accuracy the project published, by the name its table of results gives
        it; ``as_published`` is one of them.
    search : mapping of str to sequence
        Parameters of the sound form that are worth tuning, and values to try.
    fewest_columns : int
        Vectors with fewer columns it cannot take.
    """

    name: str
    title: str
    input: Literal["vector", "frames"]
    build: Build
    as_published: Build = None  # type: ignore[assignment]  # set below, so never None outside
    published: Mapping[str, Build] = dataclasses.field(default_factory=dict)
    search: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    fewest_columns: int = 1

    def __post_init__(self) -> None:
        if self.as_published is None:
            object.__setattr__(self, "as_published", self.build)


def decisions(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of the emotions in the form scikit-learn gives them.

    Parameters
    ----------
    scores : ndarray of float, shape (n_clips, n_classes)

    Returns
    -------
    ndarray of float, shape (n_clips, n_classes), or (n_clips,)
        Of two emotions, how much the second is ahead of the first.
    """
    return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores


def need_several(emotions: NDArray[Any]) -> None:
    """Raise unless there are two emotions to tell apart.

    Raises
    ------
    ModelError
        When `emotions`, the distinct ones, are less than two.
    """
    if len(emotions) < 2:
        raise ModelError(f"all clips are '{emotions[0]}': one class; training needs two emotions")


# UAR on a few held-out speakers jumps by several points from one epoch to the next; over ten, the
# mean tells a rise from luck.
SMOOTHED_EPOCHS = 10


def best_epoch(history: Sequence[Mapping[str, float]]) -> int:
    """The epoch at which the held-out speakers were recognised best.

    The held-out *loss* is no guide here: on unheard voices it turns upwards, as the network grows
    too sure, long before the recognition does.

    Parameters
    ----------
    history : sequence of mapping
        One per epoch, with ``valid_uar``.

    Returns
    -------
    int
        From 1: the end of the :data:`SMOOTHED_EPOCHS` epochs whose mean UAR is highest.
    """
    uar = np.array([row["valid_uar"] for row in history])
    width = min(SMOOTHED_EPOCHS, len(uar))
    smooth = np.convolve(uar, np.full(width, 1 / width), mode="valid")
    return int(smooth.argmax()) + width


def held_out(
    y: ArrayLike, groups: ArrayLike | None, *, fraction: float, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Set part of the training clips aside, whole speakers where speakers are known.

    Parameters
    ----------
    y : array-like of shape (n_clips,)
        Emotion of each clip; the held-out part has each in about the same proportion.
    groups : array-like of shape (n_clips,), or None
        Speaker of each clip. With None, or with one speaker, clips are drawn regardless of speaker.
    fraction : float
        Part to hold out, in (0, 0.5].
    seed : int
        Draws the speakers, or the clips.

    Returns
    -------
    learn, watch : ndarray of int
        Sorted positions; together all clips, and no speaker in both when ``groups`` names several.

    Raises
    ------
    ModelError
        When an emotion has fewer than two clips, so that none can be held out.
    """
    if not 0 < fraction <= 0.5:
        raise ModelError(f"the held-out fraction is {fraction}; it must lie in (0, 0.5]")
    y = np.asarray(y)
    labels, counts = np.unique(y, return_counts=True)
    if counts.min() < 2:
        rare = labels[counts.argmin()]
        raise ModelError(
            f"'{rare}' has 1 training clip; early stopping needs at least 2 of each emotion"
        )
    speakers = np.unique(np.asarray(groups)) if groups is not None else np.array([])
    if len(speakers) < 2:
        n_watch = max(round(fraction * len(y)), len(labels))
        split = StratifiedShuffleSplit(1, test_size=n_watch, random_state=seed)
        learn, watch = next(split.split(y, y))
    else:
        n_parts = min(max(round(1 / fraction), 2), len(speakers), int(counts.max()))
        parts = StratifiedGroupKFold(n_parts, shuffle=True, random_state=seed)
        learn, watch = next(parts.split(y, y, np.asarray(groups)))
    return np.sort(learn), np.sort(watch)
