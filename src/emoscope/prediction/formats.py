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
import os
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape, quoteattr

from ..errors import UnknownNameError
from ..files import printable
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
    return csv_lines(rows)


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


def csv_lines(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV text."""
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
