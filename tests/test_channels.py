"""Two channels: two people, one voice twice, or copies that cancel."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import soundfile

from emoscope import audio
from emoscope.audio import Excerpt
from emoscope.audio.voice_activity import FRAME_SECONDS
from recordings import RATE, silence, voice

NOTHING = silence(6.0)
TIME = np.arange(len(NOTHING)) / RATE
ANNE = voice(8.0, 150.0, rate=12_000) * (TIME % 1.5 < 1.1) + NOTHING
BERT = voice(6.0, 90.0, seed=3) * (TIME % 1.1 < 0.8) + NOTHING


def report(tmp_path, left, right, *, rate=RATE, **options):
    path = str(tmp_path / "two.wav")
    soundfile.write(path, np.stack([left, right], axis=1), rate, **options)
    return heard(path)


def heard(recording):
    meter = audio.ChannelMeter()
    for _ in audio.blocks(recording, meter=meter):
        pass
    return meter


def room(sound: np.ndarray, *, metres: float, seconds: float, seed: int) -> np.ndarray:
    """What a microphone hears at a distance in a room of that reverberation time."""
    rng, time = np.random.default_rng(seed), np.arange(round(seconds * RATE)) / RATE
    tail = rng.normal(size=len(time)) * 10 ** (-3 * time / seconds)
    heard = scipy.signal.fftconvolve(sound, 0.5 * tail / np.linalg.norm(tail))[: len(sound)]
    delay = round(metres / 343 * RATE)
    heard[delay:] += sound[: len(sound) - delay] / metres
    return heard / (4 * np.abs(heard).max())


def test_two_people_are_told(tmp_path):
    """In turns, at once, over telephone lines, with some of the one on the other's line."""
    turns = np.r_[ANNE, NOTHING], np.r_[NOTHING, BERT]
    assert report(tmp_path, *turns).different_speech
    assert report(tmp_path, ANNE, BERT).different_speech
    assert report(tmp_path, *turns, subtype="ULAW").different_speech
    telephone = [side[::2] for side in turns]
    assert report(tmp_path, *telephone, rate=RATE // 2, subtype="ULAW").different_speech
    assert report(tmp_path, turns[0] + 0.1 * turns[1], turns[1] + 0.1 * turns[0]).different_speech
    assert report(tmp_path, turns[0], 0.2 * turns[1]).different_speech


@pytest.mark.parametrize("case", ["copy", "quiet copy", "noisy copy", "noise", "zeros"])
def test_one_voice_is_not_two(tmp_path, case):
    right = {
        "copy": ANNE,
        "quiet copy": 0.05 * ANNE,
        "noisy copy": 0.1 * ANNE + 30 * NOTHING,
        "noise": 30 * NOTHING,
        "zeros": 0 * ANNE,
    }[case]
    assert not report(tmp_path, ANNE, right).different_speech


@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.5])
@pytest.mark.parametrize("metres", [(0.5, 0.5), (0.3, 3.0), (2.0, 2.0)])
def test_one_voice_in_a_room_is_not_two(tmp_path, metres, seconds):
    left, right = (
        room(ANNE, metres=m, seconds=seconds, seed=n) + 3 * silence(6.0, seed=n)
        for n, m in enumerate(metres)
    )
    assert not report(tmp_path, left, right).different_speech


def test_other_numbers_of_channels_are_counted_alone(tmp_path, monkeypatch):
    """Nothing is listened to in mono, nor in 5.1; only their number is told."""
    monkeypatch.delattr(audio.ChannelMeter, "_listen")
    for channels in (1, 6):
        path = str(tmp_path / f"{channels}.wav")
        soundfile.write(path, np.stack([ANNE] * channels, axis=1), RATE)
        assert heard(path).n_channels == channels and not heard(path).different_speech


def test_a_leak_is_told_from_a_weaker_voice():
    """What leaks 20 dB weaker is the other's speech; a voice of its own, 12 dB weaker, is not."""
    left = np.concatenate([ANNE, NOTHING, ANNE])
    right = np.concatenate([NOTHING, BERT, 10 ** (-12 / 20) * BERT])
    meter = audio.channels.ChannelMeter()
    for piece in np.array_split(np.stack([left, right], axis=1) @ [[1, 0.1], [0.1, 1]], 9):
        meter.feed(piece.astype(np.float32), RATE)
    other, time = meter.other_speaks(1), np.arange(18 / FRAME_SECONDS) * FRAME_SECONDS
    alone, own, at_once = (
        other[: len(time)][(time // 6 == n) & (time % 6 % 1.1 < 0.7)].mean() for n in range(3)
    )
    assert alone > 0.7 and own < 0.01 and at_once < 0.4


def test_part_of_a_call(tmp_path):
    """Only what the part holds counts."""
    path = str(tmp_path / "call.wav")
    call = np.stack([np.r_[ANNE, NOTHING], np.r_[NOTHING, BERT]], axis=1)
    soundfile.write(path, call, RATE)
    assert heard(Excerpt(path, 3.0, 9.0)).different_speech
    assert not heard(Excerpt(path, 0.0, 5.0)).different_speech
