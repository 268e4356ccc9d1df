"""How well speakers are told apart in one recording, on conversations joined from real clips.

    pip install pyannote.metrics
    python benchmarks/diarisation.py path/to/data

``path/to/data`` holds ``ravdess``, ``emodb`` and ``nemo``. Every constant of the method was chosen on the
speakers of :data:`conversations.DEVELOPMENT` (``--development`` scores them); the results are of the
others. The diarisation error rate is that of pyannote.metrics (Bredin, Interspeech 2017), overlaps
included, with a collar of 0.25 s on both sides of each boundary, and without one. The emotion diarisation
error rate is that of Wang, Ravanelli & Yacoubi (2023): false alarms, missed and confused emotions and
emotions added to the right one, over the length of the recording; neutral speech and silence are no
emotion.
Writes ``results/diarisation/diarisation.json`` and ``diarisation.md``.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from conversations import (
    CONDITIONS,
    DEVELOPMENT,
    RATE,
    Conversation,
    Part,
    clips,
    conversation,
    heard,
    joined,
)
from emoscope.audio.voice_activity import FRAME_SECONDS
from emoscope.prediction import Prediction, Predictor, Stream, speakers
from emoscope.voices import clustering

OUT = Path(__file__).parents[1] / "results" / "diarisation"
TESTED = ("emodb", "nemo")  # their other speakers
NEUTRAL = "neutral"
FRAME = 0.01  # s, of the emotion diarisation error rate


# --- scores


def speaker_errors(reference: list[Part], found: list[Part], seconds: float) -> dict[str, float]:
    """Diarisation error rates by pyannote.metrics, with its components; shares of the speech."""
    from pyannote.core import Annotation, Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate

    def annotation(parts: list[Part]) -> Annotation:
        noted = Annotation()
        for number, part in enumerate(parts):
            noted[Segment(part.start, part.end), number] = part.speaker
        return noted

    whole = Timeline([Segment(0, seconds)])
    scores = {}
    for name, collar in (("der", 0.5), ("der_strict", 0.0)):  # pyannote's collar is of both sides
        metric = DiarizationErrorRate(collar=collar)
        told = metric(annotation(reference), annotation(found), uem=whole, detailed=True)
        scores[name] = told["diarization error rate"]
        if name == "der":
            for key in ("confusion", "missed detection", "false alarm"):
                scores[key.split()[0]] = told[key] / told["total"]
    return {name: float(value) for name, value in scores.items()}


def emotion_errors(reference: tuple[Part, ...], found: list[Part], seconds: float) -> float:
    """EDER: neutral speech and silence are no emotion."""
    count = round(seconds / FRAME)

    def sets(parts: tuple[Part, ...] | list[Part]) -> list[set[str]]:
        marks: list[set[str]] = [set() for _ in range(count)]
        for part in parts:
            if part.emotion != NEUTRAL:
                for place in range(round(part.start / FRAME), min(count, round(part.end / FRAME))):
                    marks[place].add(part.emotion)
        return marks

    pairs = zip(sets(reference), sets(found), strict=True)
    # False alarm, missed, confused and added emotions are frames whose sets differ, except that one
    # found of two that overlap is right.
    wrong = sum(bool(said != true and not (said and said < true)) for true, said in pairs)
    return wrong / count


def parts_of(prediction: Prediction) -> list[Part]:
    """The speech that was found."""
    spoken = (s for s in prediction.segments if s.is_speech)
    return [Part(s.start, s.end, s.speaker, s.emotion) for s in spoken]


# --- what is measured


def listened(samples: np.ndarray, rate: int) -> tuple[Stream, float]:
    """The voices of a recording's windows, and the processor seconds for each of its seconds."""
    begun = time.process_time()
    stream = speakers.stream(rate)
    for first in range(0, len(samples), 10 * rate):
        stream.feed(samples[first : first + 10 * rate])
    stream.finish()
    speakers.turns(stream.windows, stream.speech)
    return stream, (time.process_time() - begun) / (len(samples) / rate)


def of_recording(talk: Conversation, condition: str, rng: np.random.Generator) -> dict[str, Any]:
    """Scores of a recording: number of speakers estimated, given, and everybody taken for one."""
    samples, rate = heard(talk.mixed, condition, rng)
    stream, real_time = listened(samples, rate)
    seconds, reference = len(samples) / rate, joined(talk.parts)
    found: dict[str, Any] = {"minutes": seconds / 60, "real_time_factor": real_time}
    for name, count in (("estimated", None), ("given", len(talk.voices)), ("constant", 1)):
        turns = speakers.turns(stream.windows, stream.speech, count)
        told = [
            Part(turn.start * FRAME_SECONDS, turn.stop * FRAME_SECONDS, turn.speaker, "")
            for turn in turns
        ]
        found[name] = speaker_errors(reference, told, seconds)
        found[name]["speakers"] = len({part.speaker for part in told})
    return found


def recordings(place: Path, *, development: bool, quick: bool) -> Iterator[dict[str, Any]]:
    """Scores of all recordings: those of 5 minutes under every condition, longer ones clean."""
    lengths = [(5, 0)] if quick else [(5, 0), (5, 1), (10, 2), (30, 3)]
    for name in DEVELOPMENT if development else TESTED:
        table = clips(place, name, development=development)
        for n_speakers, (minutes, seed) in itertools.product((2, 3, 4), lengths):
            rng = np.random.default_rng([n_speakers, seed, *name.encode()])
            talk = conversation(table, n_speakers, 60.0 * minutes, rng)
            for condition in CONDITIONS if minutes == 5 else CONDITIONS[:1]:
                about = {"corpus": name, "voices": n_speakers, "condition": condition}
                scored = of_recording(talk, condition, rng)
                print(name, n_speakers, minutes, condition, scored["estimated"], flush=True)
                yield {**about, **scored}


def emotions(place: Path, minutes: float = 5.0) -> dict[str, dict[str, float]]:
    """EDER on nEMO, which the free model was not trained on, by how a recording is divided."""
    predictor, found = Predictor("free"), dict[str, dict[str, float]]()
    table = clips(place, "nemo", development=False)
    for n_speakers in (2, 3, 4):
        rng = np.random.default_rng([n_speakers, 0, *b"nemo"])
        talk = conversation(table, n_speakers, 60.0 * minutes, rng)
        seconds = 60.0 * minutes
        scores = {"always neutral": emotion_errors(talk.parts, [], seconds)}
        asked = {
            "not divided": {"by": "none"},
            "estimated": {"by": "speaker"},
            "given": {"by": "speaker", "speakers": n_speakers},
        }
        for name, options in asked.items():
            told = predictor.predict(talk.mixed, RATE, timeline=True, **options)
            scores[name] = emotion_errors(talk.parts, parts_of(told), seconds)
        found[str(n_speakers)] = scores
    return found


def lanes(place: Path, minutes: float = 5.0) -> dict[str, dict[str, float]]:
    """Calls of two channels: the segments in the lane of whom they are, and what is heard of both.

    In half of them each voice leaks into the other channel, 20 dB weaker.
    """
    predictor, found = Predictor(), dict[str, dict[str, float]]()
    for name, leak in itertools.product(TESTED, (0.0, 0.1)):
        rng = np.random.default_rng([2, 7, *name.encode()])
        table = clips(place, name, development=False)
        talk = conversation(table, 2, 60.0 * minutes, rng)
        heard_by_both = talk.stereo @ np.array([[1, leak], [leak, 1]], np.float32)
        both = predictor.predict(heard_by_both, RATE, timeline=True).joined
        sides = dict(zip(talk.voices, ("left", "right"), strict=True))
        reference = [dataclasses.replace(p, speaker=sides[p.speaker]) for p in joined(talk.parts)]
        told = parts_of(both)
        right = [
            any(p.speaker == q.speaker and p.start < q.end and q.start < p.end for q in reference)
            for p in told
        ]
        scores = speaker_errors(reference, told, 60.0 * minutes)
        name += ", leaking 20 dB weaker" if leak else ""
        found[name] = {"segments": len(told), "right": sum(right), "der": scores["der"]}
        found[name] |= {"overlap_s": _at_once(reference), "overlap_found_s": _at_once(told)}
    return found


def _at_once(parts: list[Part]) -> float:
    """Seconds in which two speak."""
    pairs = itertools.combinations(parts, 2)
    shared = (min(a.end, b.end) - max(a.start, b.start) for a, b in pairs if a.speaker != b.speaker)
    return sum(max(0.0, length) for length in shared)


def overlaps(place: Path, least: float = 0.4) -> None:
    """Whether windows in which two speak lie between two voices, on the speakers of development.

    Prints the precision and recall with the highest F1 of a threshold on the cosine with the second
    voice less that with the first; a window counts from `least` seconds of overlap on.
    """
    from sklearn.metrics import precision_recall_curve

    for name in DEVELOPMENT:
        told: list[tuple[bool, float]] = []
        table = clips(place, name, development=True)
        for count in (2, 3, 4):
            rng = np.random.default_rng([count, 0, *name.encode()])
            talk = conversation(table, count, 300.0, rng)
            windows = listened(talk.mixed, RATE)[0].windows
            rows = clustering.comparable(np.array([w.inference.embedding for w in windows], float))
            alike = np.sort(rows @ clustering.centres(rows, count).T, axis=1)
            for window, row in zip(windows, alike, strict=True):
                inside = [
                    dataclasses.replace(
                        p, start=max(p.start, window.start), end=min(p.end, window.end)
                    )
                    for p in joined(talk.parts)
                ]
                shared = _at_once([p for p in inside if p.start < p.end])
                told.append((shared >= least, row[-2] - row[-1]))
        true, score = map(np.array, zip(*told, strict=True))
        precision, recall, _ = precision_recall_curve(true, score)
        best = (precision * recall / np.maximum(precision + recall, 1e-9)).argmax()
        print(
            f"{name}: precision {precision[best]:.2f}, recall {recall[best]:.2f}, {true.mean():.3f} overlap"
        )


# --- the report


def summary(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the recordings of a number of voices, a corpus and a condition."""
    rows = []
    table = pd.json_normalize(found)
    for (corpus_name, voices, condition), own in table.groupby(["corpus", "voices", "condition"]):
        row: dict[str, Any] = {"corpus": corpus_name, "voices": int(voices), "condition": condition}
        row |= {"recordings": len(own), "minutes": float(own["minutes"].sum())}
        weights = own["minutes"]
        for name in ("estimated", "given", "constant"):
            for score in ("der", "der_strict", "confusion", "missed", "false"):
                row[f"{name}_{score}"] = float(np.average(own[f"{name}.{score}"], weights=weights))
        row["number_right"] = float((own["estimated.speakers"] == voices).mean())
        row["real_time_factor"] = float(np.average(own["real_time_factor"], weights=weights))
        rows.append(row)
    order = {name: place for place, name in enumerate(CONDITIONS)}
    return sorted(rows, key=lambda row: (order[row["condition"]], row["voices"], row["corpus"]))


def as_text(result: dict[str, Any]) -> str:
    lines = [
        "# Diarisation",
        "",
        "Made by `benchmarks/diarisation.py`. Error rates in percent, collar 0.25 s, overlaps included;",
        "*strict* is without a collar. *Constant*: all speech found, taken for one speaker.",
        "",
        "| condition | voices | corpus | minutes | estimated | strict | given | constant | number right |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result["summary"]:
        scores = ("estimated_der", "estimated_der_strict", "given_der", "constant_der")
        values = " | ".join(f"{100 * row[score]:.1f}" for score in scores)
        about = f"{row['condition']} | {row['voices']} | {row['corpus']} | {row['minutes']:.0f}"
        lines.append(f"| {about} | {values} | {row['number_right']:.0%} |")
    factor = max(row["real_time_factor"] for row in result["summary"])
    lines += ["", f"Real-time factor on one core: at most {factor:.3f}.", ""]
    for voices, scores in result.get("emotions", {}).items():
        told = ", ".join(f"{name} {100 * score:.1f}" for name, score in scores.items())
        lines.append(f"Emotion diarisation error of {voices} voices, in percent: {told}.")
    for name, told in result.get("lanes", {}).items():
        words = f"{told['right']} of {told['segments']} segments in the lane of their speaker"
        at_once = f"both speak for {told['overlap_s']:.0f} s and are labelled in "
        at_once += f"{told['overlap_found_s']:.0f} s"
        lines.append(
            f"Two channels, {name}: {words}, {at_once}; error rate {100 * told['der']:.1f} %."
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--development", action="store_true", help="print scores to choose by")
    parser.add_argument("--quick", action="store_true", help="one recording of 5 minutes each")
    parser.add_argument("--overlaps", action="store_true", help="print how far overlaps are found")
    options = parser.parse_args()
    if options.overlaps:
        return overlaps(options.data)
    found = list(recordings(options.data, development=options.development, quick=options.quick))
    result: dict[str, Any] = {"summary": summary(found)}
    if not options.development:
        result |= {"emotions": emotions(options.data), "lanes": lanes(options.data)}
    print(as_text(result))
    if not (options.development or options.quick):
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / "diarisation.json").write_text(json.dumps(result, indent=1) + "\n")
        (OUT / "diarisation.md").write_text(as_text(result))


if __name__ == "__main__":
    main()
