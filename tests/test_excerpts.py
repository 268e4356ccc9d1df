"""Parts of recordings: what they hold, what is refused, and what they cost."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.signal
import soundfile

from emoscope import audio, audit
from emoscope.audio import Excerpt
from emoscope.corpus import Corpus
from emoscope.dataset import content
from emoscope.dataset.extraction import extract, extract_recordings
from emoscope.dataset.store import Store
from emoscope.errors import AudioError, UnknownNameError
from emoscope.features.spectrum import Spectrum
from recordings import silence, voice
from small_corpus import Levels

RATE = 16_000


def noise(seconds: float, channels: int = 1, *, seed: int = 0, rate: int = RATE) -> np.ndarray:
    values = np.random.default_rng(seed).normal(0, 0.1, (round(seconds * rate), channels))
    return np.round(np.clip(values, -1, 1) * 32767) / 32768  # what 16 bits hold exactly


@pytest.mark.parametrize("ending", ["wav", "flac", "aiff", "au"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_part_equals_its_own_file(tmp_path, ending, channels):
    """Any span, any channel, alone or with others: the very samples of a file cut beforehand."""
    whole, path = noise(20.0, channels), str(tmp_path / f"whole.{ending}")
    soundfile.write(path, whole, RATE, subtype="PCM_16")
    spans = [(0.0, 1.0), (0.50003, 1.7), (4.0, None), (3.0, 3.1), (15.999, 16.2), (0.0, 20.04)]
    excerpts = [Excerpt(path, a, b, channel) for channel in (None, channels - 1) for a, b in spans]
    outcomes = dict(audio.cut(path, excerpts))
    assert len(outcomes) == len(excerpts)
    for number, excerpt in enumerate(excerpts):
        own = whole[round(excerpt.start * RATE) :]
        own = (
            own
            if excerpt.end is None
            else own[: round(excerpt.end * RATE) - round(excerpt.start * RATE)]
        )
        soundfile.write(tmp_path / f"own.{ending}", own, RATE, subtype="PCM_16")
        expected = audio.load(Excerpt(str(tmp_path / f"own.{ending}"), channel=excerpt.channel))
        np.testing.assert_array_equal(outcomes[number].samples, expected.samples)
        np.testing.assert_array_equal(audio.load(excerpt).samples, expected.samples)
        pieces = [piece.samples for piece in audio.blocks(excerpt)]
        np.testing.assert_array_equal(np.concatenate(pieces), expected.samples)


def test_refusals_name_file_and_span(tmp_path):
    path = str(tmp_path / "talk.wav")
    soundfile.write(path, noise(2.0), RATE, subtype="PCM_16")
    refused = {
        (1.5, 1.0): "ends before it starts",
        (1.0, 1.0): "is empty",
        (-0.5, 1.0): "0 or more",
        (float("nan"), 1.0): "0 or more",
        (0.5, float("inf")): "0 or more",
        (2.0, 3.0): "starts after the end of the file: the file is 2.00 s long",
        (1.0, 2.06): "ends after the end of the file: the file is 2.00 s long$",
        (
            500.0,
            1500.0,
        ): "the file is 2.00 s long; if the times are in milliseconds, name the columns",
        (1.0, 1.05): "too short: 50 ms",
        (1.97, 2.04): "too short: 30 ms",
    }
    excerpts = [Excerpt(path, *span) for span in refused]
    outcomes = dict(audio.cut(path, [*excerpts, Excerpt(path, 0.5, 1.5)]))
    assert len(outcomes.pop(len(excerpts)).samples) == RATE
    for number, (excerpt, reason) in enumerate(zip(excerpts, refused.values(), strict=True)):
        with pytest.raises(AudioError, match=reason) as caught:
            audio.load(excerpt)
        assert str(caught.value) == str(outcomes[number])
        assert str(caught.value).startswith(f"{path} (")


def test_what_is_not_asked_for_does_not_matter(tmp_path):
    """A part is as usable as its own file, whatever the rest of its file holds."""
    values = noise(3.0)
    values[RATE : RATE + 100], values[2 * RATE :] = np.nan, 0.0
    path = str(tmp_path / "partly.wav")
    soundfile.write(path, values, RATE, subtype="FLOAT")
    spans = [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]
    good, broken, silent = (o for _, o in audio.cut(path, [Excerpt(path, *s) for s in spans]))
    assert len(good.samples) == RATE
    assert "not numbers" in broken.reason
    assert "silent" in silent.reason


def test_a_missing_file_refuses_every_part(tmp_path):
    path = str(tmp_path / "none.wav")
    outcomes = dict(audio.cut(path, [Excerpt(path, 0.0, 1.0), Excerpt(path, 2.0, 3.0)]))
    assert [str(outcomes[n]) for n in (0, 1)] == [
        f"{path} (0–1 s): no such file",
        f"{path} (2–3 s): no such file",
    ]


def test_ten_thousand_parts_are_one_decoding_in_bounded_memory(tmp_path, monkeypatch):
    path = str(tmp_path / "hour.flac")
    with soundfile.SoundFile(path, "w", 4000, 1, "PCM_16") as file:
        for minute in range(60):
            file.write(noise(60.0, seed=minute, rate=4000))
    excerpts = [Excerpt(path, 0.36 * n, 0.36 * n + 1.0) for n in range(9_990)]
    decode, times = audio._decode, []
    monkeypatch.setattr(audio, "_decode", lambda *given: times.append(1) or decode(*given))
    tracemalloc.start()
    count = sum(len(outcome.samples) == 4000 for _, outcome in audio.cut(path, excerpts))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == len(excerpts)
    assert times == [1]
    assert peak < 8 * 2**20  # the hour itself takes 58 MB


def test_channels_by_name():
    assert [audio.parse_channel(t) for t in ("left", "RIGHT", "1", "2", "6")] == [0, 1, 0, 1, 5]
    assert audio.parse_channel("mix") is None is audio.parse_channel("")
    assert [audio.channel_name(n) for n in range(4)] == ["left", "right", "3", "4"]
    for wrong in ("0", "-1", "middle", "1.5", "²"):
        with pytest.raises(UnknownNameError, match="left, right, 1, 2"):
            audio.parse_channel(wrong)


def test_a_channel_that_is_not_there_is_told(tmp_path):
    path = str(tmp_path / "mono.wav")
    soundfile.write(path, noise(1.0), RATE, subtype="PCM_16")
    with pytest.raises(AudioError, match="has no channel right; it has one channel"):
        audio.load(Excerpt(path, channel=1))
    assert audio.each_channel(path) == [Excerpt(path, channel=0)]


def test_inverted_channels_are_named_as_what_they_are(tmp_path):
    """Exactly or nearly inverted, their mix is a residue; any one of them is the voice."""
    left = noise(1.0)[:, 0]
    for residue in (0.0, 0.02):
        stereo = np.stack([left, -left + residue * noise(1.0, seed=1)[:, 0]], axis=1)
        path = str(tmp_path / "inverted.wav")
        soundfile.write(path, stereo, RATE, subtype="PCM_16")
        with pytest.raises(AudioError, match=r"inverted copies .* channel 'left'"):
            audio.load(path)
        with pytest.raises(AudioError, match="inverted copies"):
            audio.from_array(stereo, RATE)
        assert len(audio.load(Excerpt(path, channel=0)).samples) == RATE


def of_parts(path: str, spans, **columns) -> Corpus:
    table = pd.DataFrame(
        {
            "clip": [f"part_{n}" for n in range(len(spans))],
            "path": path,
            "emotion": "angry",
            "label": "angry",
            "speaker": "1",
            "corpus": "parts",
            "start": [start for start, _ in spans],
            "end": [end for _, end in spans],
            **columns,
        }
    )
    return Corpus("parts", table)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("count", [3, 200])
def test_features_of_parts_are_those_of_their_own_files(tmp_path, jobs, count):
    """Computed, then from the store; few parts in one worker, many cut for all of them."""
    path, whole = str(tmp_path / "whole.flac"), noise(30.0, rate=8000)
    soundfile.write(path, whole, 8000, subtype="PCM_16")
    spans = [(0.1 * n, 0.1 * n + 1.0) for n in range(count)]
    spans[1], spans[-1] = (25.0, 20.0), (29.5, float("nan"))
    corpus, store = of_parts(path, spans), Store(tmp_path / "store")
    expected = []
    for start, end in spans:
        piece = (
            whole[round(start * 8000) :]
            if end != end
            else whole[round(start * 8000) : round(end * 8000)]
        )
        if len(piece):
            signal = audio.from_array(piece, 8000)
            expected.append(Levels().extract(Spectrum(signal)))
    progress = []
    for _ in range(2):
        progress.clear()
        found = extract(
            corpus, [Levels()], store=store, jobs=jobs, progress=lambda *at: progress.append(at)
        )
        np.testing.assert_array_equal(found.features["vector"].X, np.stack(expected))
        assert found.features["vector"].clips == [f"part_{n}" for n in range(count) if n != 1]
        [refused] = found.corpus.rejected
        assert str(refused) == f"{path} (25–20 s): ends before it starts"
        assert progress[-1] == (count, count)
    assert len(progress) == 2  # only what is refused was looked at again
    both = extract_recordings([Excerpt(path, *spans[0]), path], [Levels()], store=store)
    np.testing.assert_array_equal(both["vector"].X[0], expected[0])
    assert both["vector"].clips == [f"{path} (0–1 s)", path]


def test_whole_files_keep_their_place_in_the_store():
    key = b"0123456789abcdef"
    keys = {
        content.key_of(key, Excerpt("a.wav", *what))
        for what in [(), (1.0,), (0.0, 1.0), (0.0, None, 0), (0.0, None, 1), (1.0, 2.0, 1)]
    }
    assert len(keys) == 6
    assert content.key_of(key, Excerpt("another.wav")) == key


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_file_of_many_parts_is_decoded_and_hashed_a_few_times(tmp_path, monkeypatch, jobs):
    path = str(tmp_path / "whole.wav")
    soundfile.write(path, noise(60.0, rate=8000), 8000, subtype="PCM_16")
    corpus = of_parts(path, [(0.05 * n, 0.05 * n + 0.5) for n in range(1_000)])
    here = []
    for module, name in ((audio, "_decode"), (content, "read")):
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, f=function, n=name: here.append(n) or f(*a))
    found = extract(corpus, [Levels()], store=Store(tmp_path / "store"), jobs=jobs)
    assert len(found.corpus) == 1_000
    assert here.count("_decode") == here.count("read") == (4 if jobs == 1 else 0)


def test_what_was_finished_of_a_file_is_kept(tmp_path):
    path = str(tmp_path / "whole.wav")
    soundfile.write(path, noise(60.0, rate=8000), 8000, subtype="PCM_16")
    corpus = of_parts(path, [(0.05 * n, 0.05 * n + 0.5) for n in range(200)])
    store = Store(tmp_path / "store")

    def interrupt(done, total):
        if done == 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(corpus, [Levels(seconds=0.001)], store=store, jobs=1, progress=interrupt)
    assert 80 <= store.features()[0].clips < 200
    again = extract(corpus, [Levels(seconds=0.001)], store=store, jobs=1)
    assert len(again.corpus) == 200


def test_what_is_said_of_recordings_is_said_again_from_the_store(tmp_path):
    """Rates that differ, and channels with different speech, unless somebody has chosen."""
    call = np.stack(
        [np.r_[voice(4.0), silence(4.0)], np.r_[silence(4.0), voice(4.0, 90.0)]], axis=1
    )
    paths = [str(tmp_path / f"{n}.wav") for n in range(3)]
    soundfile.write(paths[0], call, RATE, subtype="PCM_16")
    soundfile.write(paths[1], call[:, 0], RATE, subtype="PCM_16")
    soundfile.write(paths[2], call[::2, 0], RATE // 2, subtype="PCM_16")
    corpus, store = of_parts(paths, [(0.0, None)] * 3), Store(tmp_path / "store")
    for _ in range(2):
        mixed, two = extract(corpus, [Levels()], store=store, jobs=1).corpus.notes
        assert mixed.startswith("sample rates differ, 1 at 8000 Hz, 2 at 16000 Hz: above 4000 Hz")
        assert two.startswith("1 of 3 clips have two channels with different speech")
    chosen = of_parts(paths, [(0.0, None)] * 3, audio_channel="left")
    assert len(extract(chosen, [Levels()], store=store, jobs=1).corpus.notes) == 1


def test_an_audit_listens_to_parts_and_not_to_their_files(tmp_path):
    """A test part is told to be a copy of what is trained on, and its neighbours are not."""
    whole = np.r_[voice(3.0, 150.0, rate=12_000), voice(3.0, 90.0), voice(3.0, 120.0, seed=5)]
    soundfile.write(tmp_path / "whole.flac", whole, RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "copy.flac", whole[3 * RATE : 5 * RATE], RATE, subtype="PCM_16")
    rows = [
        "file,start,end,emotion,speaker,split",
        "copy.flac,,,angry,1,train",
        "whole.flac,3.0,5.0,angry,2,test",
        "whole.flac,0.0,2.0,sad,2,test",
        "whole.flac,6.0,8.0,sad,3,train",
    ]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    found = audit.audit(tmp_path / "list.csv")
    assert found.n_recordings == 4
    [alike] = [f for f in found.findings if f.kind == "identical-audio"]
    [pair] = alike.evidence
    assert pair["train"] == str(tmp_path / "copy.flac")
    assert pair["test"] == f"{tmp_path / 'whole.flac'} (3–5 s)"
    assert not [f for f in found.findings if f.kind == "excerpt"]


def encoded(path: str, samples: np.ndarray, codec: str) -> str:
    """The samples in a lossy format, of MP3 by libsndfile, of M4A by FFmpeg."""
    if codec == "mp3":
        soundfile.write(path, samples, RATE, format="MP3")
        return path
    av = pytest.importorskip("av", reason="M4A is written with PyAV")
    with av.open(path, "w") as file:
        stream = file.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    return path


@pytest.mark.parametrize("codec", ["mp3", "m4a"])
def test_a_part_of_a_lossy_file_equals_its_own_file_within_a_frame(tmp_path, codec):
    """Both are the same sound, at most a codec's frame (1152 samples at most) apart."""
    whole = voice(6.0, 150.0)
    part = Excerpt(encoded(str(tmp_path / f"whole.{codec}"), whole, codec), 2.0, 4.0)
    own = audio.load(encoded(str(tmp_path / f"own.{codec}"), whole[2 * RATE : 4 * RATE], codec))
    mine = audio.load(part)
    assert len(mine.samples) == 2 * RATE
    assert abs(len(own.samples) - len(mine.samples)) <= 2 * 1152  # padding at the end
    n = min(len(own.samples), len(mine.samples))
    likeness = scipy.signal.correlate(own.samples[:n], mine.samples[:n])
    assert abs(int(np.argmax(likeness)) - (n - 1)) <= 1152
    assert likeness.max() > 0.95 * np.sqrt((own.samples[:n] ** 2).sum() * (mine.samples**2).sum())
