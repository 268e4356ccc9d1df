"""A file of predictions that grows by one recording at a time and can be continued."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import EmoscopeError, UnknownNameError
from ..files import printable, try_lock
from .formats import csv_header, text_of
from .prediction import Prediction
from .predictor import Predictor, adaptation_helps

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)


class Output:
    """A JSON Lines or CSV file that grows by one recording at a time and survives being stopped.

    What is whole in a file that exists is kept, unless it holds something else, or was written by
    another model (:attr:`~emoscope.modelfile.ModelFile.identity`), or with a timeline or without,
    other than now: an EmoscopeError.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        format: str,
        emotions: Sequence[str],
        *,
        model: str,
        timeline: bool = False,
    ) -> None:
        if format not in ("json", "csv"):
            raise UnknownNameError("output format", format, ("json", "csv"))
        self.format, self.emotions, self.timeline = format, tuple(emotions), timeline
        self.path, self.model = Path(path), model
        self._header = csv_header(self.emotions, model=model, timeline=timeline).encode()
        self.done: set[str] = set()  # printable names of the recordings that it holds
        whole = b""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # A pipe that nobody reads must not take what is written: it is opened to write alone.
            flags, mode = (os.O_WRONLY, "wb") if self.path.is_fifo() else (_FLAGS, "r+b")
            self._file = open(os.open(path, flags, 0o666), mode, buffering=0)  # noqa: SIM115
            if self.path.is_file():  # and not a device, which may have no end
                if not try_lock(self._file.fileno()):
                    self._file.close()
                    raise EmoscopeError(f"{self.path}: another run is writing it")
                whole = self._whole(self._file.read())
                self._file.truncate(len(whole))
                self._file.seek(len(whole))
        except OSError as error:
            raise EmoscopeError(f"{self.path}: cannot be written: {error.strerror}") from error
        if format == "csv" and not whole:
            self._append(self._header)

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        held, in_place = os.fstat(self._file.fileno()), False
        self._file.close()
        with contextlib.suppress(OSError):
            in_place = os.path.samestat(held, os.stat(self.path))
        if kind is None and not in_place:
            raise EmoscopeError(f"{self.path}: was removed or replaced while it was written")

    def write(self, prediction: Prediction) -> None:
        """Add one recording; when the disk is full, what is written already can be continued."""
        text = text_of(
            prediction, self.format, self.emotions, model=self.model, timeline=self.timeline
        )
        self._append(text.encode())

    def _append(self, content: bytes) -> None:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise EmoscopeError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _foreign(self, because: str = "does not hold predictions") -> EmoscopeError:
        return EmoscopeError(f"{self.path}: exists and {because}")

    def _whole(self, content: bytes) -> bytes:
        """What may stay of a file that was perhaps cut off, noting what it holds."""
        end = content.rfind(b"\n") + 1
        content, cut = content[:end], content[end:]
        start = b'{"file": ' if self.format == "json" else b"" if content else self._header
        if not (cut.startswith(start) or start.startswith(cut)):  # the last line is not ours
            raise self._foreign()
        if self.format == "json":
            self.done = {self._file_of(line) for line in content.splitlines()}
            return content
        lines = content.splitlines(keepends=True)
        if lines and lines[0] != self._header:
            raise EmoscopeError(
                f"{self.path}: exists with other columns than this output would have: of a model "
                "of other emotions, or with a timeline where this has none; give another name"
            )
        try:
            rows = list(csv.DictReader(content.decode("utf-8").splitlines(), strict=True))
        except (ValueError, csv.Error) as error:
            raise self._foreign() from error
        for row in rows:
            self._check_model(row["model"])
        files = [row["file"] for row in rows]
        if self.timeline and files:
            last = files.index(files[-1])  # done again: rows of it may be missing
            lines, files = lines[: last + 1], files[:last]
        self.done = set(files)
        return b"".join(lines)

    def _check_model(self, model: object) -> None:
        if model != self.model:
            raise self._foreign(
                f"was written by another model, {printable(str(model))}; this is {self.model}; "
                "give another name"
            )

    def _file_of(self, line: bytes) -> str:
        """The recording of a line of JSON, when the line is as this output would write it."""
        try:
            entry = json.loads(line)
            file, emotions = printable(entry["file"]), tuple(entry["probabilities"])
            timeline, model = bool(entry["segments"]), entry.get("model")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._foreign() from error
        if emotions != self.emotions:
            raise self._foreign(
                f"was written by another model, of the emotions {', '.join(map(str, emotions))}; "
                f"this one knows {', '.join(self.emotions)}"
            )
        if timeline is not self.timeline:
            held, asked = ("with", "without") if timeline else ("without", "with")
            raise self._foreign(
                f"was written {held} a timeline, and goes on only so; {asked} one, give another "
                "name"
            )
        self._check_model(model)
        return file


def predict_files(
    predictor: Predictor,
    files: Sequence[str],
    *,
    timeline: bool = False,
    adapt: bool | None = False,
    jobs: int | None = None,
    output: Output | None = None,
) -> Iterator[Prediction | EmoscopeError]:
    """Predict every file that an output does not hold yet, and add it there, one after another.

    With `adapt`, predictions are relative to all the files
    (:meth:`~emoscope.prediction.Predictor.predict_adapted`); None: where that was measured to help
    with so many files, and unless most of them sound alike.
    """
    done = output.done if output else set()
    missing = [file for file in files if printable(file) not in done]
    if adapt or (adapt is None and adaptation_helps(predictor.card, len(files))):
        reference = files if done else None
        outcomes = predictor.predict_adapted(
            missing, reference=reference, cautious=adapt is None, jobs=jobs
        )
    else:
        outcomes = predictor.predict_many(missing, timeline=timeline, jobs=jobs)
    for outcome in outcomes:
        if output and isinstance(outcome, Prediction):
            output.write(outcome)
        yield outcome
