"""Models that recognise emotion, every one a scikit-learn classifier.

``described.toml`` has their layers and parameters, a file per family what scikit-learn does not have.

``names()`` lists them, ``get(name).build(seed)`` makes the default form of one; ``register`` adds a
model for the life of the process. Input is *vector*, ``X`` of shape ``(n_clips, n_columns)``,
*embedding*, a vector that an encoder gives, or *frames*, ``n_clips`` arrays ``(n_frames, n_bins)``. A
model that stops training early takes the speaker of each clip as ``groups`` in ``fit``; one that
scikit-learn's converter does not know has a method ``to_onnx()`` (:mod:`.onnx_graph`).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from ..registry import Registry

__all__ = ["ModelInfo", "get", "names", "register", "registry"]

Build: TypeAlias = Callable[[int], Any]  # an unfitted scikit-learn classifier, from a seed


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """One model under its public name.

    ``build(seed)`` gives the default form: scaled input, regularised, nothing learned from the test
    speakers; ``as_published(seed)`` that of the original student project, if it has one.
    """

    name: str  # as given to ``--models``
    title: str  # what a report calls it
    input: Literal["vector", "frames", "embedding"]
    build: Build
    as_published: Build = None  # type: ignore[assignment]  # set below, so never None outside
    # Parameters of the default form that are worth tuning, and values to try.
    search: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    fewest_columns: int = 1  # of a vector that it can take
    needs: str = ""  # a package that only the extra ``deep`` brings

    def __post_init__(self) -> None:
        if self.as_published is None:
            object.__setattr__(self, "as_published", self.build)


registry: Registry[ModelInfo] = Registry(
    "model", __name__, fits=lambda found: isinstance(found, ModelInfo), wanted="a ModelInfo"
)
names, get, register = registry.names, registry.get, registry.register
