"""Features of many clips: what models read.

Rows are aligned with a corpus's clips. Vector features stand side by side in one matrix; a feature
that gives frames is a list of matrices whose lengths differ. The specifications that made the
values travel with them, also through Parquet.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import FeatureError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Matrix = NDArray[np.float32]

FORMAT = 1
"""Raised when a file of this version could be misread by an older one."""


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Features of some clips: either ``X`` with ``columns``, or ``frames``.

    Attributes
    ----------
    clips : list of str
        Identifier of each clip.
    specs : list of dict
        What made the values: one specification per feature, in the order of the columns.
    columns : tuple of str
        Names of the columns of ``X``, or of every matrix in ``frames`` where known.
    X : ndarray of float32 [shape=(n_clips, n_columns)], optional
        Vector features.
    frames : list of ndarray of float32 [shape=(n_frames, n_columns)], optional
        A feature that gives frames.
    widths : tuple of int
        Columns of each feature; where not given, told by the names of the columns, which begin with
        the feature's name.
    """

    clips: list[str]
    specs: list[dict[str, Any]]
    columns: tuple[str, ...] = ()
    X: Matrix | None = None
    frames: list[Matrix] | None = None
    widths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if (self.X is None) == (self.frames is None):
            raise FeatureError("features are either a matrix X or a list of frames")
        if len(self.values) != len(self.clips):
            raise FeatureError(f"{len(self.clips)} clips, but {len(self.values)} rows of values")
        if self.X is not None and self.X.shape != (len(self.clips), len(self.columns)):
            raise FeatureError(
                f"X has the shape {self.X.shape}; {len(self.clips)} clips with "
                f"{len(self.columns)} columns make {(len(self.clips), len(self.columns))}"
            )
        if self.X is not None and not self.widths:
            object.__setattr__(self, "widths", self._widths_by_name())

    def _widths_by_name(self) -> tuple[int, ...]:
        if len(self.specs) == 1:
            return (len(self.columns),)
        names = [spec["name"] for spec in self.specs]
        counts = [sum(c.startswith(f"{name}_") for c in self.columns) for name in names]
        if sum(counts) != len(self.columns):
            raise FeatureError(f"cannot tell which columns belong to {', '.join(names)}")
        return tuple(counts)

    @property
    def kind(self) -> str:
        """``"vector"`` or ``"frames"``."""
        return "frames" if self.X is None else "vector"

    @property
    def values(self) -> Matrix | list[Matrix]:
        """``X``, or ``frames``: what an estimator is given."""
        if self.X is not None:
            return self.X
        return self.frames if self.frames is not None else []

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def label(self) -> str:
        """Names of the features, as a result shows them: ``"mfcc+chroma+mel"``."""
        return "+".join(str(spec["name"]) for spec in self.specs)

    def fingerprint(self) -> str:
        """Hexadecimal digest of clips, specifications and every value."""
        digest = hashlib.blake2b(json.dumps([self.clips, self.specs]).encode(), digest_size=16)
        for part in (self.frames or []) if self.X is None else [self.X]:
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
        index = pd.Index(self.clips, name="clip")
        return pd.DataFrame(self.X, columns=list(self.columns), index=index)

    def select(self, names: Sequence[str]) -> Features:
        """Some of the features, in the order asked for.

        Parameters
        ----------
        names : sequence of str
            Names of features, e.g. ``["mfcc", "chroma"]``.

        Raises
        ------
        FeatureError
            When one is not here, or several have its name.
        """
        here = [spec["name"] for spec in self.specs]
        unclear = [name for name in names if here.count(name) > 1]
        if unclear:
            raise FeatureError(f"{here.count(unclear[0])} features here are called {unclear[0]}")
        absent = [name for name in names if name not in here]
        if absent:
            raise FeatureError(f"no {', '.join(absent)} here; there are {', '.join(here)}")
        if self.X is None:
            return self
        edges = np.cumsum([0, *self.widths])
        chosen = [here.index(name) for name in names]
        taken = [i for n in chosen for i in range(edges[n], edges[n + 1])]
        return dataclasses.replace(
            self,
            specs=[self.specs[n] for n in chosen],
            widths=tuple(self.widths[n] for n in chosen),
            columns=tuple(self.columns[i] for i in taken),
            X=self.X[:, taken],
        )

    def rows(self, indices: ArrayLike) -> Features:
        """Some of the clips, in the order asked for.

        Parameters
        ----------
        indices : array of int [shape=(n,)]
            Positions in ``clips``.
        """
        chosen = np.asarray(indices, dtype=np.intp)
        return dataclasses.replace(
            self,
            clips=[self.clips[i] for i in chosen],
            X=None if self.X is None else self.X[chosen],
            frames=None if self.frames is None else [self.frames[i] for i in chosen],
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a Parquet table: ``clip`` and one column per value, or per clip its frames."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        about = {
            "format": FORMAT,
            "specs": self.specs,
            "columns": self.columns,
            "widths": self.widths,
        }
        data = {"clip": pa.array(self.clips, pa.string())}
        if self.X is not None:
            data.update(zip(self.columns, map(pa.array, self.X.T), strict=True))
        else:
            matrices = self.frames or []
            flat = [np.ascontiguousarray(m, np.float32).reshape(-1) for m in matrices]
            data["n_frames"] = pa.array([len(m) for m in matrices], pa.int32())
            data["values"] = pa.array(flat, pa.list_(pa.float32()))
        table = pa.table(data).replace_schema_metadata({b"emoscope": json.dumps(about).encode()})
        pq.write_table(table, path)
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Features:
        """Read what :meth:`save` wrote.

        Raises
        ------
        FeatureError
            When the file is something else.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise FeatureError(f"{path}: not a readable Parquet file ({error})") from error
        try:
            about = json.loads((table.schema.metadata or {}).get(b"emoscope", b"{}"))
        except (ValueError, RecursionError) as error:
            raise FeatureError(f"{path}: its description is not valid JSON: {error}") from error
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise FeatureError(f"{path}: not a table of features, or of a newer emoscope")
        try:
            return cls._of(table, about)
        except (KeyError, TypeError, ValueError, AttributeError, pa.ArrowException) as error:
            raise FeatureError(f"{path}: a damaged table of features ({error})") from error

    @classmethod
    def _of(cls, table: pa.Table, about: dict[str, Any]) -> Features:
        """The features in a table, which :meth:`load` has read, with what it says of itself."""
        specs, columns, widths = (_list(about, key) for key in ("specs", "columns", "widths"))
        if not all(isinstance(spec, dict) and isinstance(spec.get("name"), str) for spec in specs):
            raise ValueError("specs are not objects with a name")
        if not all(isinstance(column, str) for column in columns):
            raise ValueError("columns are not names")
        if not all(type(width) is int and width >= 0 for width in widths):
            raise ValueError("widths are not whole numbers")
        if "n_frames" not in table.column_names and sum(widths) != len(columns):
            raise ValueError("widths are not those of the columns")
        known: dict[str, Any] = {
            "clips": table["clip"].cast("string").to_pylist(),
            "specs": specs,
            "columns": tuple(columns),
            "widths": tuple(widths),
        }
        if "n_frames" not in table.column_names:
            values = [table[column].to_numpy() for column in known["columns"]]
            X = np.stack(values, axis=1) if values else np.empty((len(table), 0))
            return cls(**known, X=np.ascontiguousarray(X, dtype=np.float32))
        lengths = table["n_frames"].to_pylist()
        frames = [
            row.values.to_numpy(zero_copy_only=False).reshape(length, -1)
            for row, length in zip(table["values"], lengths, strict=True)
        ]
        return cls(**known, frames=frames)


def _list(about: dict[str, Any], key: str) -> list[Any]:
    value = about[key]
    if not isinstance(value, list):
        raise TypeError(f"{key} is not a list")
    return value
