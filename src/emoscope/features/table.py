"""Features of many clips: what models read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ..errors import FeatureError
from .filters import Matrix

if TYPE_CHECKING:
    import pandas as pd

    from .base import Spec


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Features of some clips: either ``X`` with ``columns``, or ``frames``."""

    clips: list[str]
    specs: list[Spec]  # what made the values: one per feature, in the order of the columns
    columns: tuple[str, ...] = ()  # of ``X``, or of every matrix in ``frames`` where known
    X: Matrix | None = None  # [shape=(n_clips, n_columns)]
    frames: list[Matrix] | None = None  # each [shape=(n_frames, n_columns)]
    widths: tuple[int, ...] = ()  # columns per feature; told by names that begin with the feature's

    def __post_init__(self) -> None:
        if (self.X is None) == (self.frames is None):
            raise FeatureError("features are either a matrix X or a list of frames")
        if len(self.values) != len(self.clips):
            raise FeatureError(f"{len(self.clips)} clips, but {len(self.values)} rows of values")
        if self.X is None:
            return
        shape = (len(self.clips), len(self.columns))
        if self.X.shape != shape:
            made = f"{shape[0]} clips with {shape[1]} columns make {shape}"
            raise FeatureError(f"X has the shape {self.X.shape}; {made}")
        if not self.widths:
            counts = [sum(c.startswith(f"{name}_") for c in self.columns) for name in self.names]
            counts = counts if len(self.specs) != 1 else [len(self.columns)]
            if sum(counts) != len(self.columns):
                raise FeatureError(f"cannot tell which columns belong to {', '.join(self.names)}")
            object.__setattr__(self, "widths", tuple(counts))

    @property
    def names(self) -> list[str]:
        """The features' names, in the order of the columns."""
        return [spec["name"] for spec in self.specs]

    @property
    def label(self) -> str:
        """The features' names as a result shows them: ``"mfcc+chroma+mel"``."""
        return "+".join(self.names)

    @property
    def values(self) -> Matrix | list[Matrix]:
        """``X``, or ``frames``: what an estimator is given."""
        return self.X if self.X is not None else self.frames or []

    def __len__(self) -> int:
        return len(self.clips)

    def fingerprint(self) -> str:
        """Hexadecimal digest of clips, specifications and every value."""
        digest = hashlib.blake2b(json.dumps([self.clips, self.specs]).encode(), digest_size=16)
        for part in self.values if self.X is None else [self.X]:
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def to_pandas(self) -> pd.DataFrame:
        """The vectors as a table with the clips as its index; a FeatureError for frames."""
        import pandas as pd

        if self.X is None:
            raise FeatureError(f"'{self.label}' gives spectrograms, which are no table of columns")
        index = pd.Index(self.clips, name="clip")
        return pd.DataFrame(self.X, columns=list(self.columns), index=index)

    def select(self, names: Sequence[str]) -> Features:
        """Some of the features, by name, in the order asked for; each name must be here once."""
        if absent := [name for name in names if name not in self.names]:
            raise FeatureError(f"no {', '.join(absent)} here; there are {', '.join(self.names)}")
        for name in names:
            if (count := self.names.count(name)) > 1:
                raise FeatureError(f"{count} features here are called {name}")
        if self.X is None:
            return self
        chosen = [self.names.index(name) for name in names]
        stops = np.cumsum(self.widths)
        columns = [i for n in chosen for i in range(stops[n] - self.widths[n], stops[n])]
        specs, widths = [self.specs[n] for n in chosen], tuple(self.widths[n] for n in chosen)
        kept = tuple(self.columns[i] for i in columns)
        return Features(self.clips, specs, kept, self.X[:, columns], widths=widths)

    def rows(self, indices: ArrayLike) -> Features:
        """Some of the clips, by their positions in ``clips``, in the order asked for."""
        positions = np.asarray(indices, dtype=np.intp)
        clips, X = [self.clips[i] for i in positions], None if self.X is None else self.X[positions]
        frames = None if self.frames is None else [self.frames[i] for i in positions]
        return dataclasses.replace(self, clips=clips, X=X, frames=frames)
