"""Predictions as text that other programs read, or people: times in seconds from the start, UTF-8.

``textgrid``, ``eaf``, ``srt`` and ``vtt`` hold one timeline, the others any number of recordings.
Where speakers are divided, each has tiers of its own or is named before the label. All but ``table``
say what a label means, and the model's licence.
"""

import csv
import dataclasses
import io
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import labels
from ..files import printable
from .prediction import NO_SPEECH, SILENCE, TOGETHER, GivenSegment, Prediction, Segment

if TYPE_CHECKING:
    from .summary import Summary

ABOUT = ("licence", "commercial_use", "meaning")  # the last columns of csv
CLEAR = 0.2  # arousal and valence that are, as shown, nearer to 0 are called neither low nor high
TIMELINES = ("textgrid", "eaf", "srt", "vtt")
FORMATS = ("table", "json", "csv", *TIMELINES)
_WORDS = {
    "arousal": ("subdued", "even", "agitated"),
    "valence": ("unpleasant", "neither pleasant nor unpleasant", "pleasant"),
}


@dataclasses.dataclass(frozen=True)
class Layout:
    """What is written of each recording."""

    emotions: Sequence[str]
    model: str = ""  # named by json and csv, where it is given, with options that decide labels
    timeline: bool = False  # a row for each segment
    given: bool = False  # segments that the user gave, with their labels
    channel: bool = False  # in a column of its own
    without: tuple[str, ...] = (TOGETHER,)  # how warnings begin that a table leaves out


def format_of(path: str | os.PathLike[str] | None) -> str:
    """The format that the ending of a file's name means; ``table`` where it means none."""
    ending = Path(path or "").suffix.lower().lstrip(".").replace("jsonl", "json")
    return ending if ending in FORMATS else "table"


def table_text(
    prediction: Prediction, *, timeline: bool = False, without: tuple[str, ...] = (TOGETHER,)
) -> str:
    """One recording for people to read: what it sounds like first, where the label is uncertain."""
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    others = ", ".join(f"{name} {share:.0%}" for name, share in ranked[1:3])
    name = printable(prediction.file) or "recording"
    name += f" ({prediction.channel})" if prediction.channel else ""
    lines = [f"{name}  {_told(prediction, f'  ({others})')}"]
    said = (warning for warning in prediction.warnings if not warning.startswith(without))
    lines += [f"    {warning}" for warning in said]
    speakers = [printable(part.speaker) for part in prediction.segments]
    width = max(map(len, speakers), default=0)
    for part, speaker in zip(prediction.segments, speakers, strict=True) if timeline else ():
        label = f"{speaker:{width}}  " * bool(width) + _told(part)
        keywords = ", ".join(warning.partition(":")[0] for warning in part.warnings)
        label += f"  ({keywords})" * bool(keywords)
        if isinstance(part, GivenSegment):
            label += f'  "{printable(part.label)}"' * bool(part.label)
        lines.append(f"    {part.start:8.2f} – {part.end:8.2f} s  {label}")
    return "\n".join(lines) + "\n"


def summary_text(summary: "Summary", width: int = 80) -> str:
    """A recording at a glance, in a few lines of at most so many characters."""
    import textwrap

    from .summary import clock

    return _rendered("summary", s=summary, clock=clock, width=width, wrap=textwrap.wrap)


def sounds(probabilities: Mapping[str, float]) -> str:
    """``agitated (arousal +0.6), unpleasant (valence −0.4)``; empty where these are not known."""
    said = []
    for axis, exact in labels.position(probabilities).items():
        value, (low, middle, high) = round(exact, 1) + 0.0, _WORDS[axis]
        word = middle if abs(value) < CLEAR else low if value < 0 else high
        said.append(f"{word} ({axis} {value:+.1f})".replace(" -", " −"))
    return ", ".join(said)


def _told(part: Prediction | Segment, others: str = "") -> str:
    label, position = f"{part.emotion} {part.confidence:.0%}{others}", sounds(part.probabilities)
    if not part.uncertain:
        return f"{label}  {position}".rstrip()
    if any(warning.startswith(NO_SPEECH) for warning in part.warnings):
        return f"no speech found; uncertain: {label}"
    return f"uncertain; sounds {position}; perhaps {label}" if position else f"uncertain: {label}"


def text_of(prediction: Prediction, format: str, layout: Layout) -> str:
    """One recording in any format, of csv without the header."""
    if format == "table":
        return table_text(prediction, timeline=layout.timeline, without=layout.without)
    if format == "csv":
        return _csv(row.values() for row in _rows(prediction, layout))
    if format == "json":
        bare = dataclasses.replace(prediction, segments=(), summary=None)
        shown = prediction if layout.timeline else bare
        return f"{shown.to_json(model=layout.model)}\n"
    return timeline_text(prediction, format)


def csv_header(layout: Layout) -> str:
    """The first line of a CSV table."""
    even = dict.fromkeys(layout.emotions, 0.0)
    part = GivenSegment(0.0, 0.0, "", 0.0, even)
    any_row = next(_rows(Prediction("", "", 0.0, even, False, segments=(part,)), layout))
    return _csv([list(any_row)])


def _rows(prediction: Prediction, layout: Layout) -> Iterator[dict[str, object]]:
    """The rows of a table, by column."""
    whole = prediction.to_dict()
    axes = labels.position(dict.fromkeys(layout.emotions, 0.0))  # where all emotions have one
    for part in whole["segments"] if layout.timeline else [whole]:
        row = {"file": printable(prediction.file)}
        if layout.channel:
            row["channel"] = prediction.channel
        if layout.timeline:
            place = {"start": part["start"], "end": part["end"]}
            row |= {**place, "speaker": printable(part["speaker"])}
        if layout.given:
            row["label"] = printable(part["label"])
        row |= {"emotion": part["emotion"], "confidence": part["confidence"]}
        row |= {f"p_{name}": part["probabilities"].get(name, "") for name in layout.emotions}
        row |= {
            "uncertain": str(part["uncertain"]).lower(),
            "warnings": "; ".join(part["warnings"]),
        }
        if layout.timeline:
            row["file_warnings"] = "; ".join(whole["warnings"])
        if layout.model:
            row["model"] = layout.model
        row |= {axis: part.get(axis, "") for axis in axes}
        yield row | {name: whole["about"][name] for name in ABOUT}


def _csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def timeline_text(prediction: Prediction, format: str) -> str:
    """The segments as one of :data:`TIMELINES`, whose templates name what they follow."""
    segments, epoch = prediction.segments, os.environ.get("SOURCE_DATE_EPOCH", "")
    audible = [segment for segment in segments if segment.emotion != SILENCE]
    end = max((segment.end for segment in segments), default=0.0)
    # Where the same bytes are wanted again, the environment says when they were written.
    written = time.gmtime(int(epoch) if epoch.isdecimal() else None)
    return _rendered(
        format, about=prediction.about.text, audible=list(enumerate(audible, 1)), end=end,
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", written), label=_label, caption=_caption, clock=_clock,
        lanes={name: list(_filled(own, end)) for name, own in _lanes(segments).items()},
        name=os.path.basename(prediction.file), printable=printable,
    )  # fmt: skip


def _lanes(segments: Sequence[Segment]) -> dict[str, list[Segment]]:
    """Segments by speaker; where speakers are divided, silence is left out."""
    divided = any(segment.speaker for segment in segments)
    lanes: dict[str, list[Segment]] = {} if segments else {"": []}
    for segment in segments:
        if segment.speaker or not divided or segment.emotion != SILENCE:
            lanes.setdefault(printable(segment.speaker), []).append(segment)
    return lanes


def _filled(segments: Sequence[Segment], end: float) -> Iterator[Segment]:
    """The segments and, between them, nameless ones: the tiers of a TextGrid have no gaps."""
    position = 0.0
    for segment in (*segments, Segment(end, end, "", 0.0, {})):
        if segment.start > position:
            yield Segment(position, segment.start, "", 0.0, {})
        if segment.end > segment.start:
            yield segment
        position = max(position, segment.end)


def _rendered(format: str, **values: object) -> str:
    import jinja2  # takes longer than a label

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("emoscope.prediction"), autoescape=format == "eaf",
        trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template(f"{format}.j2").render(values)


def _label(segment: Segment) -> str:
    """The emotion, with a question mark where it is uncertain."""
    return printable(segment.emotion) + "?" * segment.uncertain


def _caption(segment: Segment) -> str:
    return _label(segment) + f" {segment.confidence:.0%}" * segment.is_speech


def _clock(seconds: float, mark: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"
