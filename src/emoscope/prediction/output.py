"""Where predictions go: a file that grows and can be continued, or lines on standard output."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import EmoscopeError, UnknownNameError
from ..files import printable, try_lock, write_atomically
from . import Predictor
from .adapted import helps
from .formats import TIMELINES, csv_columns, csv_lines, csv_rows, timeline_text
from .prediction import Prediction

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)


class Output:
    """A JSON Lines or CSV file that grows by one recording at a time and survives being stopped.

    Parameters
    ----------
    path : path-like
        When it exists, what is whole in it is kept and :attr:`done` says what that is.
    format : {"json", "csv"}
    emotions : sequence of str
        Of the model.
    model : str
        Which one, written with every prediction: :attr:`~emoscope.modelfile.ModelFile.identity`.
    timeline : bool
        Whether segments are written: in CSV one row for each.

    Raises
    ------
    UnknownNameError
        When there is no such format.
    EmoscopeError
        When the file cannot be written, holds something else, or was written by another model, or
        with a timeline or without, other than now.

    Attributes
    ----------
    done : set of str
        Recordings that the file already holds, as :func:`~emoscope.files.printable` names.
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
        self.model = model
        self.done: set[str] = set()
        self._in_place = False
        self.path = path = Path(path)
        kept = b""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A pipe that nobody reads must not take what is written: it is opened to write alone.
            flags, mode = (os.O_WRONLY, "wb") if path.is_fifo() else (_FLAGS, "r+b")
            self._file = open(os.open(path, flags, 0o666), mode, buffering=0)  # noqa: SIM115
            if path.is_file():  # and not a device, which may have no end
                if not try_lock(self._file.fileno()):
                    self._file.close()
                    raise EmoscopeError(f"{self.path}: another run is writing it")
                kept = self._whole(self._file.read(), str(path))
                self._file.truncate(len(kept))
                self._file.seek(len(kept))
        except OSError as error:
            raise EmoscopeError(f"{path}: cannot be written: {error.strerror}") from error
        if format == "csv" and not kept:
            self._append(self._header)

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        if kind is None and not self._in_place:
            raise EmoscopeError(f"{self.path}: was removed or replaced while it was written")

    def write(self, prediction: Prediction) -> None:
        """Add one recording.

        Raises
        ------
        EmoscopeError
            When the disk is full, say; what is written already can be continued.
        """
        self._append(self.encode(prediction))

    def close(self) -> None:
        """End writing."""
        held = os.fstat(self._file.fileno())
        self._file.close()
        with contextlib.suppress(OSError):
            self._in_place = os.path.samestat(held, os.stat(self.path))

    def encode(self, prediction: Prediction) -> bytes:
        """One recording as it stands in the file."""
        if self.format == "json":
            return json_line(prediction, self.model, timeline=self.timeline).encode()
        return csv_table(prediction, self.emotions, self.model, timeline=self.timeline).encode()

    @property
    def _header(self) -> bytes:
        return csv_header(self.emotions, timeline=self.timeline).encode()

    def _append(self, content: bytes) -> None:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise EmoscopeError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _whole(self, content: bytes, name: str) -> bytes:
        """What may stay of a file that was perhaps cut off, noting what it holds."""
        content, cut = content[: content.rfind(b"\n") + 1], content[content.rfind(b"\n") + 1 :]
        begin = b'{"file": ' if self.format == "json" else b"" if content else self._header
        if not (cut.startswith(begin) or begin.startswith(cut)):  # the last line is not ours
            raise EmoscopeError(f"{name}: exists and does not hold predictions")
        if self.format == "json":
            self.done = {self._fitting(line, name) for line in content.splitlines()}
            return content
        lines = content.splitlines(keepends=True)
        if lines and lines[0] != self._header:
            raise EmoscopeError(
                f"{name}: exists with other columns than this output would have: of a model of "
                "other emotions, or with a timeline where this has none; give another name"
            )
        try:
            rows = list(csv.DictReader(content.decode("utf-8").splitlines(), strict=True))
        except (ValueError, csv.Error) as error:
            raise EmoscopeError(f"{name}: exists and does not hold predictions") from error
        for row in rows:
            self._check_model(row["model"], name)
        files = [row["file"] for row in rows]
        if self.timeline and files:
            # Rows of the last recording may be missing; it is done again.
            last = files.index(files[-1])
            lines, files = lines[: last + 1], files[:last]
        self.done = set(files)
        return b"".join(lines)

    def _check_model(self, model: object, name: str) -> None:
        if model != self.model:
            raise EmoscopeError(
                f"{name}: exists and was written by another model, {printable(str(model))}; this is "
                f"{self.model}; give another name"
            )

    def _fitting(self, line: bytes, name: str) -> str:
        """The recording of a line of JSON, when the line is as this output would write it."""
        try:
            found = json.loads(line)
            file, emotions = printable(found["file"]), tuple(found["probabilities"])
            segments = bool(found["segments"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EmoscopeError(f"{name}: exists and does not hold predictions") from error
        if emotions != self.emotions:
            raise EmoscopeError(
                f"{name}: exists and was written by another model, of the emotions "
                f"{', '.join(map(str, emotions))}; this one knows {', '.join(self.emotions)}"
            )
        if segments is not self.timeline:
            held, asked = ("with", "without") if segments else ("without", "with")
            raise EmoscopeError(
                f"{name}: exists and was written {held} a timeline, and goes on only so; "
                f"{asked} one, give another name"
            )
        self._check_model(found.get("model"), name)
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
    """Predict every file that an output does not hold yet, and add it there.

    Parameters
    ----------
    predictor : Predictor
    files : sequence of str
        As given by :func:`emoscope.audio.opening.find`.
    timeline, jobs
        As for :meth:`~emoscope.prediction.Predictor.predict_many`.
    adapt : bool or None
        As :meth:`~emoscope.prediction.Predictor.predict_adapted`, relative to all the files. None:
        where it was measured to help with so many files, and unless most of them sound alike.
    output : Output, optional

    Yields
    ------
    Prediction or EmoscopeError
        In the order of the files, each after it has been written.
    """
    done = output.done if output else set()
    missing = [file for file in files if printable(file) not in done]
    if adapt or (adapt is None and helps(predictor.card, len(files))):
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


def format_of(path: str | os.PathLike[str] | None) -> str:
    """The format that the ending of a file's name means; ``table`` where it means none."""
    ending = Path(path).suffix.lower().lstrip(".") if path is not None else ""
    return {"jsonl": "json"}.get(
        ending, ending if ending in ("json", "csv", *TIMELINES) else "table"
    )


class Writer:
    """What the command ``predict`` gives out: lines on standard output, or a file.

    Parameters
    ----------
    format : str
        ``table``, ``json``, ``csv``, or a name from :data:`TIMELINES`.
    path : path-like, optional
        Where to write; without it, standard output.
    predictor : Predictor
        Whose predictions they are.
    timeline : bool
        Whether segments are shown.
    n_files : int
        How many recordings there are; a format of one timeline takes one.

    Raises
    ------
    UnknownNameError
        When there is no such format.
    EmoscopeError
        When a format of one timeline is to hold several.

    Attributes
    ----------
    needs_timeline : bool
        Whether the format cannot do without segments.
    output : Output or None
        The file that grows and can be continued, for json and csv.
    """

    def __init__(
        self,
        format: str,
        path: str | os.PathLike[str] | None,
        predictor: Predictor,
        *,
        timeline: bool,
        n_files: int,
    ) -> None:
        if format not in ("table", "json", "csv", *TIMELINES):
            raise UnknownNameError("format", format, ("table", "json", "csv", *TIMELINES))
        self.needs_timeline = format in TIMELINES
        if self.needs_timeline and n_files > 1:
            raise EmoscopeError(f"{format} holds one recording; {n_files} were given")
        if format == "table" and path is not None:
            raise EmoscopeError(f"{path}: a table is for the eye; name a .csv or .json file")
        self.format, self.path, self.timeline = format, path, timeline
        self.emotions, self.model = predictor.emotions, predictor.model.identity
        self.output: Output | None = None
        if path is not None and format in ("json", "csv"):
            self.output = Output(path, format, self.emotions, model=self.model, timeline=timeline)

    def __enter__(self) -> Writer:
        if self.format == "csv" and self.output is None:
            self._print(csv_header(self.emotions, timeline=self.timeline))
        return self

    def __exit__(self, *error: Any) -> None:
        if self.output is not None:
            self.output.__exit__(*error)

    def show(self, prediction: Prediction) -> None:
        """Give out one recording, unless :attr:`output` has it already."""
        if self.output is not None:
            return
        if self.format == "json":
            text = json_line(prediction, self.model, timeline=self.timeline)
        elif self.format == "csv":
            text = csv_table(prediction, self.emotions, self.model, timeline=self.timeline)
        elif self.needs_timeline:
            text = timeline_text(prediction, self.format)
        else:
            text = table_lines(prediction, timeline=self.timeline)
        self._print(text)

    def _print(self, text: str) -> None:
        if self.path is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            try:
                write_atomically(self.path, text)
            except OSError as error:
                raise EmoscopeError(f"{self.path}: cannot be written: {error.strerror}") from error


def json_line(prediction: Prediction, model: str, *, timeline: bool) -> str:
    """One recording as a line of JSON; without a timeline, its segments are left out."""
    kept = prediction if timeline else dataclasses.replace(prediction, segments=())
    return f"{kept.to_json(model=model)}\n"


def csv_header(emotions: Sequence[str], *, timeline: bool) -> str:
    """The first line of a CSV table of predictions that name their model."""
    return csv_lines([[*csv_columns(emotions, timeline=timeline), "model"]])


def csv_table(
    prediction: Prediction, emotions: Sequence[str], model: str, *, timeline: bool
) -> str:
    """The lines of one recording in such a table."""
    rows = csv_rows(prediction, emotions, timeline=timeline)
    return csv_lines([*row, model] for row in rows)


def table_lines(prediction: Prediction, *, timeline: bool = False) -> str:
    """One recording for people to read: label, confidence, the next likely, warnings."""
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    others = ", ".join(f"{name} {share:.0%}" for name, share in ranked[1:3])
    doubt = "  uncertain" if prediction.uncertain else ""
    name = printable(prediction.file) or "recording"
    lines = [f"{name}  {prediction.emotion} {prediction.confidence:.0%}  ({others}){doubt}"]
    lines += [f"    {warning}" for warning in prediction.warnings]
    if timeline:
        lines += [
            f"    {part.start:8.2f} – {part.end:8.2f} s  {part.emotion} {part.confidence:.0%}"
            for part in prediction.segments
        ]
    return "\n".join(lines) + "\n"
