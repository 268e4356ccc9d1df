"""A file of predictions that grows by one recording at a time and can be continued."""

import contextlib
import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ..audio import Excerpt, channel_name
from ..errors import EmoscopeError, ModelError, check_known
from ..files import printable, sentence, try_lock
from .formats import Layout, csv_header, text_of
from .prediction import Prediction
from .predictor import Predictor
from .sources import BY_CHANNEL, Division, Given, Source, predict_segments

Entry: TypeAlias = tuple[str, str]  # printable name of a recording, its channel or ""
SIDES = ("left", "right")
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)


class Output:
    """A JSON Lines or CSV file that grows by one recording at a time; what is whole in it is kept."""

    def __init__(
        self, path: str | Path, format: str, layout: Layout, given: "Given | None" = None,
        sources: Sequence[str | Excerpt] = (),
    ) -> None:  # fmt: skip
        check_known("output format", ("json", "csv"), format)
        self.path, self.format, self.layout = Path(path), format, layout
        self._header = csv_header(layout).encode() if format == "csv" else b""
        self._done: set[Entry] = set()
        self._sources = {printable(Excerpt.of(source).path) for source in sources}
        self._given = {
            printable(file): {_place(part.start, part.label) for part in parts}
            for file, parts in (given or {}).items()
        }
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
            self._file.write(b"")  # which a full device refuses
        except OSError as error:
            raise EmoscopeError(f"{self.path}: cannot be written: {error.strerror}") from error
        if not whole:
            self._append(self._header)

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        held, in_place = os.fstat(self._file.fileno()), False
        self._file.close()
        with contextlib.suppress(OSError):
            in_place = os.path.samestat(held, os.stat(self.path))
        if kind is None and not in_place:
            raise EmoscopeError(f"{self.path}: was removed or replaced while it was written")
        if kind and in_place and self.path.is_file() and held.st_size <= len(self._header):
            self.path.unlink()  # stopped before the first recording

    def write(self, prediction: Prediction) -> None:
        """Add one recording; when the disk is full, what is written already can be continued."""
        self._append(text_of(prediction, self.format, self.layout).encode())

    def holds(self, source: str | Excerpt) -> bool:
        """Whether a recording, or the channel of it that is meant, is written already."""
        excerpt = Excerpt.of(source)
        name = printable(excerpt.path)
        if isinstance(source, Excerpt):  # a choice, of a channel or of the mix
            return (name, channel_name(source.channel)) in self._done
        return (name, "") in self._done or {(name, "left"), (name, "right")} <= self._done

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
        lines = content.splitlines(keepends=True)
        if self.format == "json":
            return self._complete(lines, [self._entry_of(line) for line in lines], cut)
        if lines and lines[0] != self._header:
            raise EmoscopeError(sentence("other_columns", path=self.path))
        try:
            rows = list(csv.DictReader(content.decode("utf-8").splitlines(), strict=True))
        except (ValueError, csv.Error) as error:
            raise self._foreign() from error
        entries = []
        for row in rows:
            self._check_model(row["model"])
            if self.layout.given:
                self._check_parts(row["file"], [row])
            said = row["file_warnings" if self.layout.timeline else "warnings"]
            sides = [s for s in SIDES if sentence("prediction.one_of_two", channel=s) in said]
            entries.append((row["file"], row.get("channel") or "".join(sides)))
        return self._complete(lines, entries, cut)

    def _complete(self, lines: list[bytes], entries: list[Entry], cut: bytes) -> bytes:
        """The lines without those of a last recording that is done again, as some may be missing."""
        last = entries[-1] if entries else ("", "")
        in_rows = self.format == "csv" and self.layout.timeline
        if last[0] in self._sources:  # of a channel the other may be missing, of rows further ones
            again = {(last[0], SIDES[0]), *([last] if in_rows else [])}
            while entries and entries[-1] in again:
                entries.pop()
                lines.pop()
        elif entries and cut and in_rows:
            raise self._foreign(f"breaks off after {last[0]}; name that recording too")
        self._done = set(entries)
        return b"".join(lines)

    def _check_model(self, model: object) -> None:
        if model != self.layout.model:
            names = dict(held=printable(str(model)), own=self.layout.model)
            raise EmoscopeError(sentence("other_model", path=self.path, **names))

    def _check_parts(self, file: str, parts: Sequence[Mapping[str, Any]]) -> None:
        given = self._given.get(file)
        try:
            held = {_place(part["start"], part["label"]) for part in parts}
        except (ValueError, KeyError, TypeError) as error:
            raise self._foreign() from error
        if given and not held <= given:
            raise self._foreign(f"holds other parts of {file} than are given; give another name")

    def _entry_of(self, line: bytes) -> Entry:
        """The recording and channel of a line of JSON, when the line is as this output would write it."""
        try:
            entry = json.loads(line)
            file, parts, model = printable(entry["file"]), entry["segments"], entry.get("model")
            given = any("label" in part for part in parts)
            held = (list(entry["probabilities"]), bool(parts), given)
            channel = str(entry.get("channel", ""))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._foreign() from error
        if held != (list(self.layout.emotions), self.layout.timeline, self.layout.given):
            raise EmoscopeError(sentence("other_columns", path=self.path))
        self._check_model(model)
        if given:
            self._check_parts(file, parts)
        return file, channel


def _place(start: float | str, label: str) -> tuple[float, str]:
    """What tells a given part from others of its recording; from its beginning may be NaN."""
    time = float(start)
    return (round(time, 3) if time == time else 0.0), printable(label)


def require_offsets(predictor: Predictor) -> None:
    """A ModelError of a model that cannot label recordings together."""
    if predictor.card.offsets is None:
        raise ModelError(sentence("no_offsets", path=predictor.model.path))


def predict_files(
    predictor: Predictor, files: Sequence[str | Excerpt], *, timeline: bool = False,
    given: "Given | None" = None, together: bool | None = None, jobs: int | None = None,
    output: Output | None = None, division: Division = BY_CHANNEL,
) -> Iterator[Prediction | EmoscopeError]:  # fmt: skip
    """Predict what an output does not hold yet, and add it there; `given` parts become the segments.

    Files of one folder are labelled together; with `together` all, without it (False), with a
    timeline or with given parts each alone. Two channels with different speech are two predictions.
    """

    def holds(file: Source) -> bool:
        return isinstance(file, (str, Excerpt)) and output is not None and output.holds(file)

    if together:
        require_offsets(predictor)
    missing = [file for file in files if not holds(file)]
    if given is not None:
        outcomes = predict_segments(predictor, missing, given, jobs=jobs)
    elif together is False or timeline or predictor.card.offsets is None:
        outcomes = predictor.predict_many(
            missing, timeline=timeline, jobs=jobs, by=division.by, speakers=division.speakers
        )
    else:
        groups: dict[object, list[str | Excerpt]] = {}
        for file in files:  # also where files of several folders alternate
            excerpt = Excerpt.of(file)
            place = (os.path.dirname(os.path.abspath(excerpt.path)), excerpt.channel)
            groups.setdefault(together or place, []).append(file)
        alike = groups.values()
        outcomes = predictor.predict_sources(alike, skip=holds, jobs=jobs, division=division)
    for outcome in outcomes:
        if output and isinstance(outcome, Prediction):
            for one in outcome.each:
                output.write(one)
        yield outcome
