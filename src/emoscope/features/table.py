"""Features of many clips: a matrix with named columns, or one spectrogram per clip.

Rows stand in the order of ``clips``. A *vector* table has ``X`` of shape ``(n_clips, n_columns)`` and
``columns``; a *frames* table has ``frames``, a list of ``(n_frames, n_bins)`` arrays. Both carry the
specifications of the features that made them. Everything is float32.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import FeatureError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """The features of many clips, row for row.

    Attributes
    ----------
    clips : list of str
        Identity of each row.
    specs : list of dict
        Specification of each feature, in the order of its columns.
    columns : tuple of str
        Names of the columns of `X`; empty for frames.
    X : ndarray of float32, shape (n_clips, n_columns), or None
    frames : list of ndarray of float32, each (n_frames, n_bins), or None
    """

    clips: list[str]
    specs: list[dict[str, Any]]
    columns: tuple[str, ...] = ()
    X: NDArray[np.float32] | None = None
    frames: list[NDArray[np.float32]] | None = None

    def __post_init__(self) -> None:
        if (self.X is None) == (self.frames is None):
            raise FeatureError("a table of features holds either vectors (X) or frames")
        if len(self.values) != len(self.clips):
            raise FeatureError(f"{len(self.values)} rows of features for {len(self.clips)} clips")
        if self.X is not None and self.X.shape[1] != len(self.columns):
            raise FeatureError(f"{self.X.shape[1]} columns, {len(self.columns)} names for them")

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def values(self) -> Any:
        """What a model reads: `X`, or the list of frames."""
        return self.X if self.X is not None else self.frames

    @property
    def label(self) -> str:
        """Names of the features, as a result shows them: ``"mfcc+chroma+mel"``."""
        return "+".join(str(spec.get("label", spec["name"])) for spec in self.specs)

    def rows(self, indices: ArrayLike) -> Features:
        """The rows at these positions, in that order."""
        chosen = np.asarray(indices, dtype=np.intp)
        clips = [self.clips[i] for i in chosen]
        if self.X is not None:
            return dataclasses.replace(self, clips=clips, X=self.X[chosen])
        assert self.frames is not None
        return dataclasses.replace(self, clips=clips, frames=[self.frames[i] for i in chosen])

    def select(self, names: Sequence[str]) -> Features:
        """The columns of these features, in that order.

        Columns belong to features by their prefix: ``mfcc_01`` to ``mfcc``.

        Raises
        ------
        UnknownNameError
            For a feature that the table does not hold.
        """
        by_name = {spec["name"]: spec for spec in self.specs}
        for name in names:
            if name not in by_name:
                raise UnknownNameError("feature", name, by_name)
        specs = [by_name[name] for name in names]
        if self.X is None:
            return dataclasses.replace(self, specs=specs)
        places = [
            i for name in names for i, c in enumerate(self.columns) if c.startswith(f"{name}_")
        ]
        columns = tuple(self.columns[i] for i in places)
        return dataclasses.replace(self, specs=specs, columns=columns, X=self.X[:, places])

    def fingerprint(self) -> str:
        """Hexadecimal digest of clips, specifications and every value."""
        digest = hashlib.blake2b(json.dumps([self.clips, self.specs]).encode(), digest_size=16)
        for part in [self.X] if self.X is not None else self.frames or []:
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def to_pandas(self) -> pd.DataFrame:
        """The vectors as a table with the clips as its index.

        Raises
        ------
        FeatureError
            For frames, whose rows differ in length.
        """
        import pandas as pd

        if self.X is None:
            raise FeatureError(f"'{self.label}' gives spectrograms, which are no table of columns")
        return pd.DataFrame(
            self.X, columns=list(self.columns), index=pd.Index(self.clips, name="clip")
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as Parquet; vectors as columns, frames as bytes with their number of bins."""
        import pyarrow as pa
        import pyarrow.parquet

        if self.X is not None:
            arrays = {c: pa.array(self.X[:, i]) for i, c in enumerate(self.columns)}
        else:
            assert self.frames is not None
            arrays = {
                "frames": pa.array([f.astype("<f4").tobytes() for f in self.frames], pa.binary()),
                "n_bins": pa.array([f.shape[1] for f in self.frames], pa.int32()),
            }
        table = pa.table({"clip": pa.array(self.clips, pa.string()), **arrays})
        pa.parquet.write_table(
            table.replace_schema_metadata({b"emoscope": json.dumps(self.specs).encode()}), path
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Features:
        """Read what :meth:`save` wrote.

        Raises
        ------
        FeatureError
            When the file is missing or holds something else.
        """
        import pyarrow as pa
        import pyarrow.parquet

        try:
            table = pa.parquet.read_table(path)
            specs = json.loads((table.schema.metadata or {})[b"emoscope"])
        except (OSError, ValueError, KeyError) as error:
            raise FeatureError(f"{path}: holds no features of emoscope ({error})") from error
        clips = table["clip"].to_pylist()
        if "n_bins" in table.column_names:
            pairs = zip(table["frames"].to_pylist(), table["n_bins"].to_pylist(), strict=True)
            frames = [np.frombuffer(raw, "<f4").reshape(-1, bins) for raw, bins in pairs]
            return cls(clips, specs, frames=frames)
        columns = tuple(name for name in table.column_names if name != "clip")
        X = np.stack([table[c].to_numpy() for c in columns], axis=1).astype(np.float32)
        return cls(clips, specs, columns, X)
