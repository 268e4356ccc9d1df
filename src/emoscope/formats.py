"""Predictions as files that other programs read.

======== ==================================================== =====================
name     what                                                 of
======== ==================================================== =====================
json     one object per line                                  any number of files
csv      one row per file, or per segment with a timeline     any number of files
textgrid Praat TextGrid: tiers ``emotion`` and ``confidence`` one timeline
eaf      ELAN annotation: tier ``emotion``                    one timeline
srt, vtt subtitles: SubRip, WebVTT                            one timeline
======== ==================================================== =====================

Times are seconds from the start of the recording; text is UTF-8.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from xml.sax.saxutils import escape, quoteattr

from .errors import EmoscopeError, UnknownNameError
from .files import printable, write_atomically
from .predict import Predictor
from .prediction import Prediction
from .timeline import SILENCE, Segment


def csv_columns(emotions: Sequence[str], *, timeline: bool) -> list[str]:
    """Names of the columns of :func:`csv_rows`."""
    shared = ["emotion", "confidence", *(f"p_{name}" for name in emotions)]
    return ["file", *(["start", "end"] if timeline else []), *shared, "uncertain", "warnings"]


def csv_rows(
    prediction: Prediction, emotions: Sequence[str], *, timeline: bool
) -> list[list[object]]:
    """One row for the recording, or one for each of its segments.

    Probabilities of segments without speech are empty; warnings are joined by ``"; "``.
    """
    found = prediction.to_dict()
    rows: list[list[object]] = []
    for part in found["segments"] if timeline else [found]:
        times = [part["start"], part["end"]] if timeline else []
        probabilities = [part["probabilities"].get(name, "") for name in emotions]
        label = [part["emotion"], part["confidence"], *probabilities]
        judged = [str(found["uncertain"]).lower(), "; ".join(found["warnings"])]
        rows.append([printable(prediction.file), *times, *label, *judged])
    return rows


def csv_text(predictions: Iterable[Prediction], emotions: Sequence[str], *, timeline: bool) -> str:
    """A whole CSV table with its header."""
    rows: list[Sequence[object]] = [csv_columns(emotions, timeline=timeline)]
    for prediction in predictions:
        rows += csv_rows(prediction, emotions, timeline=timeline)
    return _csv(rows)


def textgrid(prediction: Prediction) -> str:
    """Praat TextGrid in its long text form, with the tiers ``emotion`` and ``confidence``.

    Source: Boersma & Weenink, Praat manual, "TextGrid file formats".
    """
    segments = prediction.segments
    end = segments[-1].end if segments else 0.0
    tiers = {
        "emotion": [printable(segment.emotion) for segment in segments],
        "confidence": [f"{s.confidence:.3f}" if s.is_speech else "" for s in segments],
    }
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += [
        "xmin = 0",
        f"xmax = {end:.6f}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, (name, texts) in enumerate(tiers.items(), 1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"']
        lines += [f'        name = "{name}"', "        xmin = 0", f"        xmax = {end:.6f}"]
        lines += [f"        intervals: size = {len(segments)}"]
        for index, (segment, text) in enumerate(zip(segments, texts, strict=True), 1):
            quoted = text.replace('"', '""')
            lines += [
                f"        intervals [{index}]:",
                f"            xmin = {segment.start:.6f}",
                f"            xmax = {segment.end:.6f}",
                f'            text = "{quoted}"',
            ]
    return "\n".join(lines) + "\n"


def eaf(prediction: Prediction) -> str:
    """ELAN annotation format 3.0 with one tier, ``emotion``; silence is left out.

    Source: Max Planck Institute for Psycholinguistics, "EAF format" 3.0.
    """
    speech = _audible(prediction)
    times = [round(1000 * time) for segment in speech for time in (segment.start, segment.end)]
    slots = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="ts{number}" TIME_VALUE="{time}"/>\n'
        for number, time in enumerate(times, 1)
    )
    annotations = "".join(
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{n}" TIME_SLOT_REF1="ts{2 * n - 1}" '
        f'TIME_SLOT_REF2="ts{2 * n}"><ANNOTATION_VALUE>{escape(_caption(segment))}'
        "</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>\n"
        for n, segment in enumerate(speech, 1)
    )
    name = quoteattr(printable(os.path.basename(prediction.file)))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ANNOTATION_DOCUMENT AUTHOR="emoscope" DATE="1970-01-01T00:00:00Z" FORMAT="3.0" '
        'VERSION="3.0">\n<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">\n'
        f'<MEDIA_DESCRIPTOR MEDIA_URL={name} MIME_TYPE="audio/*"/>\n</HEADER>\n'
        f"<TIME_ORDER>\n{slots}</TIME_ORDER>\n"
        f'<TIER LINGUISTIC_TYPE_REF="default" TIER_ID="emotion">\n{annotations}</TIER>\n'
        '<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default" '
        'TIME_ALIGNABLE="true"/>\n</ANNOTATION_DOCUMENT>\n'
    )


def srt(prediction: Prediction) -> str:
    """SubRip subtitles of everything but silence."""
    return "\n".join(
        f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n"
        f"{_caption(segment)}\n"
        for number, segment in enumerate(_audible(prediction), 1)
    )


def vtt(prediction: Prediction) -> str:
    """WebVTT subtitles of everything but silence (W3C, "WebVTT", 2019)."""
    cues = (
        f"{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n{_caption(segment)}\n"
        for segment in _audible(prediction)
    )
    return "\n".join(["WEBVTT\n", *cues])


TIMELINES = {"textgrid": textgrid, "eaf": eaf, "srt": srt, "vtt": vtt}
"""Formats that hold one timeline, by name."""


def timeline_text(prediction: Prediction, name: str) -> str:
    """One timeline in the named format.

    Raises
    ------
    UnknownNameError
        When there is no such format.
    """
    if name not in TIMELINES:
        raise UnknownNameError("timeline format", name, TIMELINES)
    return TIMELINES[name](prediction)


class Output:
    """A JSON Lines or CSV file that grows by one recording at a time and survives being stopped.

    Parameters
    ----------
    path : path-like
        When it exists, what is whole in it is kept and :attr:`done` says what that is.
    format : {"json", "csv"}
    emotions : sequence of str
        Of the model, for the columns of a CSV file.
    timeline : bool
        Whether a CSV file has one row per segment.

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
        timeline: bool = False,
    ) -> None:
        if format not in ("json", "csv"):
            raise UnknownNameError("output format", format, ("json", "csv"))
        self.format, self.emotions, self.timeline = format, tuple(emotions), timeline
        self.done: set[str] = set()
        path = Path(path)
        kept = b""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                kept = self._whole(path.read_bytes(), str(path))
            self._file = open(path, "r+b" if path.exists() else "wb", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise EmoscopeError(f"{path}: cannot be written: {error.strerror}") from error
        self._file.truncate(len(kept))
        self._file.seek(len(kept))
        if format == "csv" and not kept:
            self._file.write(self._lines([csv_columns(emotions, timeline=timeline)]))

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, prediction: Prediction) -> None:
        """Add one recording, in one write."""
        self._file.write(self.encode(prediction))

    def encode(self, prediction: Prediction) -> bytes:
        """One recording as it stands in the file."""
        if self.format == "json":
            return f"{prediction.to_json()}\n".encode()
        return self._lines(csv_rows(prediction, self.emotions, timeline=self.timeline))

    def _whole(self, content: bytes, name: str) -> bytes:
        """What may stay of a file that was perhaps cut off, noting what it holds."""
        content = content[: content.rfind(b"\n") + 1]
        if self.format == "json":
            try:
                files = [json.loads(line)["file"] for line in content.splitlines()]
            except (ValueError, KeyError, TypeError) as error:
                raise EmoscopeError(f"{name}: exists and does not hold predictions") from error
            self.done = {printable(file) for file in files}
            return content
        lines = content.splitlines(keepends=True)
        header = self._lines([csv_columns(self.emotions, timeline=self.timeline)])
        if lines and lines[0] != header:
            raise EmoscopeError(f"{name}: exists with other columns than this output would have")
        files = [row[0] for row in csv.reader(content.decode("utf-8").splitlines()[1:])]
        if self.timeline and files:
            # Rows of the last recording may be missing; it is done again.
            last = files.index(files[-1])
            lines, files = lines[: last + 1], files[:last]
        self.done = set(files)
        return b"".join(lines)

    @staticmethod
    def _lines(rows: Iterable[Sequence[object]]) -> bytes:
        return _csv(rows).encode()


def predict_files(
    predictor: Predictor,
    files: Sequence[str],
    *,
    timeline: bool = False,
    adapt: bool = False,
    jobs: int | None = None,
    output: Output | None = None,
) -> Iterator[Prediction | EmoscopeError]:
    """Predict every file that an output does not hold yet, and add it there.

    Parameters
    ----------
    predictor : Predictor
    files : sequence of str
        As given by :func:`emoscope.media.find`.
    timeline, jobs
        As for :meth:`~emoscope.predict.Predictor.predict_many`.
    adapt : bool
        As :meth:`~emoscope.predict.Predictor.predict_adapted`, relative to all the files.
    output : Output, optional

    Yields
    ------
    Prediction or EmoscopeError
        In the order of the files, each after it has been written.
    """
    done = output.done if output else set()
    missing = [file for file in files if printable(file) not in done]
    if adapt:
        reference = files if done else None
        outcomes = predictor.predict_adapted(missing, reference=reference, jobs=jobs)
    else:
        outcomes = predictor.predict_many(missing, timeline=timeline, jobs=jobs)
    for outcome in outcomes:
        if output and isinstance(outcome, Prediction):
            output.write(outcome)
        yield outcome


class Writer:
    """What the command ``predict`` gives out: lines on standard output, or a file.

    Parameters
    ----------
    format : str
        ``table``, ``json``, ``csv``, or a name from :data:`TIMELINES`.
    path : path-like, optional
        Where to write; without it, standard output.
    emotions : sequence of str
        Of the model.
    timeline : bool
        Whether a table or CSV has one row per segment.
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
        emotions: Sequence[str],
        *,
        timeline: bool,
        n_files: int,
    ) -> None:
        if format not in ("table", "json", "csv", *TIMELINES):
            raise UnknownNameError("format", format, ("table", "json", "csv", *TIMELINES))
        self.needs_timeline = format in TIMELINES
        if self.needs_timeline and n_files > 1:
            raise EmoscopeError(f"{format} holds one recording; {n_files} were given")
        self.format, self.path, self.timeline = format, path, timeline
        self.emotions = tuple(emotions)
        self.output: Output | None = None
        if path is not None and format in ("json", "csv"):
            self.output = Output(path, format, emotions, timeline=timeline)

    def __enter__(self) -> Writer:
        if self.format == "csv" and self.output is None:
            self._print(_csv([csv_columns(self.emotions, timeline=self.timeline)]))
        return self

    def __exit__(self, *error: object) -> None:
        if self.output is not None:
            self.output._file.close()

    def show(self, prediction: Prediction) -> None:
        """Give out one recording, unless :attr:`output` has it already."""
        if self.output is not None:
            return
        if self.format == "json":
            text = f"{prediction.to_json()}\n"
        elif self.format == "csv":
            text = _csv(csv_rows(prediction, self.emotions, timeline=self.timeline))
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
            write_atomically(self.path, text)


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


def _csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _audible(prediction: Prediction) -> list[Segment]:
    return [segment for segment in prediction.segments if segment.emotion != SILENCE]


def _caption(segment: Segment) -> str:
    name = printable(segment.emotion)
    return f"{name} {segment.confidence:.0%}" if segment.is_speech else name


def _clock(seconds: float, mark: str) -> str:
    """``hours:minutes:seconds`` with milliseconds after the mark."""
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"
