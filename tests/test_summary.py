"""The summary of a recording, against values computed by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emoscope.labels import POSITIONS
from emoscope.prediction import formats, summary
from spoken import call, prediction, quiet, random_segments, said


def test_talk_silence_and_overlap_of_two_channels():
    found = call(
        [said(0, 4, "neutral"), quiet(4, 8), said(8, 10, "angry")],
        [quiet(0, 3), said(3, 6, "happy"), quiet(6, 10)],
    ).summary
    assert (found.seconds, found.speech, found.silence, found.overlap) == (10, 8, 2, 1)
    assert [(one.name, one.talk) for one in found.speakers] == [("left", 6), ("right", 3)]
    assert found.speakers[0].emotions == {"neutral": 4, "angry": 2}
    assert "neutral 67%, angry 33%" in formats.summary_text(found)


def test_both_channels_carry_the_summary_of_both():
    found = call([said(0, 4, "neutral")], [quiet(0, 1), said(1, 4, "sad")])
    each = [json.loads(one.to_json())["summary"] for one in found.each]
    assert each[0] == each[1] and each[0]["overlap"] == 3
    assert prediction(quiet(0, 3)).summary.speakers == ()
    assert "summary" not in json.loads(prediction().to_json())


def test_a_channel_in_which_nobody_speaks_is_still_a_lane():
    found = call([said(0, 4, "neutral")], [quiet(0, 4)]).summary
    assert [(one.name, one.talk, one.arousal) for one in found.speakers][1] == ("right", 0, None)
    assert "nothing" not in formats.summary_text(found) and "right" not in formats.summary_text(
        found
    )


def test_lanes_are_the_speakers_where_voices_are_told_apart():
    parts = [said(0, 2, "sad", "speaker 2"), said(2, 3, "sad", "speaker 1"), quiet(3, 5)]
    found = prediction(*parts)
    assert list(summary.lanes(found)) == ["speaker 2", "speaker 1"]
    assert found.summary.overlap is None and "at once" not in formats.summary_text(found.summary)
    assert list(summary.lanes(prediction(said(0, 2, "sad"), quiet(2, 5)))) == [""]


def test_seconds_of_uncertain_speech_and_mean_arousal():
    parts = [said(0, 1, "angry", sure=1.0, uncertain=True), said(1, 4, "sad", sure=1.0)]
    (one,) = prediction(*parts).summary.speakers
    assert one.uncertain == 1.0
    assert one.arousal == pytest.approx((POSITIONS["angry"][0] + 3 * POSITIONS["sad"][0]) / 4)
    assert one.valence == pytest.approx((POSITIONS["angry"][1] + 3 * POSITIONS["sad"][1]) / 4)


def test_the_trend_divides_segments_at_its_edges():
    found = prediction(said(0, 50, "sad"), said(50, 70, "angry"), quiet(70, 100)).summary
    assert [(step.start, step.end) for step in found.trend][:2] == [(0, 10), (10, 20)]
    assert len(found.trend) == 10
    assert [step.emotions for step in found.trend[4:8]] == [
        {"sad": 10}, {"angry": 10}, {"angry": 10}, {}
    ]  # fmt: skip
    assert sum(step.talk for step in found.trend) == 70
    hours = prediction(*random_segments(3 * 3600)).summary.trend
    assert len(hours) == 12 and hours[1].start == 900


def test_a_turning_point_is_where_what_precedes_and_follows_differ():
    before = [said(n, n + 2, "neutral") for n in range(0, 60, 2)]
    after = [said(n, n + 2, "angry") for n in range(60, 120, 2)]
    (turn,) = prediction(*before, *after).summary.turns
    assert (turn.time, turn.before, turn.after) == (60, "neutral", "angry")
    steady = [said(n, n + 2, "angry" if n % 4 else "neutral") for n in range(0, 120, 2)]
    assert prediction(*steady).summary.turns == ()
    # One segment that differs is none; and each speaker is compared with the same speaker alone.
    single = [said(n, n + 2, "angry" if n == 60 else "neutral") for n in range(0, 120, 2)]
    assert prediction(*single).summary.turns == ()
    voices = [
        said(n, n + 2, "angry" if n % 4 else "sad", "b" if n % 4 else "a") for n in range(0, 120, 2)
    ]
    assert prediction(*voices).summary.turns == ()


def test_moments_are_certain_not_neutral_and_spread_over_the_recording():
    many = [said(n, n + 2, "happy", sure=0.5 + n / 400) for n in range(0, 100, 2)]
    found = prediction(*many).summary.moments
    assert [moment.start for moment in found] == [8, 18, 28, 38, 48, 58, 68, 78, 88, 98]
    few = prediction(
        said(0, 30, "angry"), said(30, 32, "neutral"), said(32, 34, "sad", uncertain=True),
        said(34, 34.5, "happy"), quiet(34.5, 100),
    ).summary.moments  # fmt: skip
    assert [(m.start, m.end, m.emotion, m.uncertain) for m in few] == [
        (0, 12, "angry", False), (32, 34, "sad", True)
    ]  # fmt: skip


def test_moments_are_apart_and_of_each_speaker_in_turn():
    # The surest of "a" are all in one minute of twenty; "b" is never as sure, "c" hardly speaks.
    parts = [
        said(n, n + 2, "angry", "abb"[n // 4 % 3], sure=0.95 if 600 <= n < 660 else 0.9)
        if n % 4 == 0 else said(n, n + 2, "sad", "b", sure=0.6)
        for n in range(0, 1200, 2)
    ]  # fmt: skip
    parts[100] = said(200, 202, "happy", "c", sure=0.55)
    found = prediction(*parts).summary.moments
    starts = [moment.start for moment in found]
    assert starts == sorted(starts) and min(np.diff(starts)) >= 120
    speakers = [moment.speaker for moment in found]
    assert len(found) >= 7 and speakers.count("c") == 1
    assert abs(speakers.count("a") - speakers.count("b")) <= 1


def test_the_text_fits_the_terminal_and_says_who_how_long():
    found = call(random_segments(3 * 3600), random_segments(3 * 3600, seed=1)).summary
    text = formats.summary_text(found, 80)
    assert max(map(len, text.splitlines())) <= 80 and len(text.splitlines()) < 60
    assert f"    left   {summary.clock(found.speakers[0].talk):>7}  " in text
    assert "both at once for" in text and "−0.0" not in text
    assert text.count("turning points") == bool(found.turns)
    assert summary.clock(59.6) == "1:00" and summary.clock(3 * 3600 + 62) == "3:01:02"
