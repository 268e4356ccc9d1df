"""What a user says of a source that it does not say itself: speakers, channels, several sources."""

import numpy as np
import pytest
import soundfile

from emoscope import corpus
from emoscope.audio import Excerpt
from emoscope.corpus import Reading
from emoscope.errors import CorpusError, UnknownNameError

RATE = 8000


@pytest.fixture
def folder(tmp_path):
    """Stereo recordings of two emotions by two speakers, named SENTENCE_SPEAKER."""
    for emotion in ("happy", "sad"):
        for name in ("a_03", "b_03", "a_08", "b_08"):
            path = tmp_path / "mine" / emotion / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(0).normal(0, 0.1, (RATE, 2))
            soundfile.write(path, noise, RATE)
    return tmp_path / "mine"


@pytest.mark.parametrize(
    ("expression", "speakers"),
    [
        (r"_(\d+)", ["03", "08"]),
        (r"_(?P<speaker>\d)(\d)", ["0"]),
        (r"[ab]_", ["a_", "b_"]),
        ("folder:1", ["happy", "sad"]),
        ("folder:-1", ["happy", "sad"]),
    ],
)
def test_an_expression_tells_the_speakers(folder, expression, speakers):
    loaded = corpus.load(folder, speaker=expression)
    assert loaded.speakers == speakers and loaded.speakers_from.kind == "option"
    assert loaded.speakers_from.pattern == expression


def test_clips_that_the_expression_does_not_match_are_named(folder):
    loaded = corpus.load(folder, speaker=r"a_(\d+)")
    assert len(loaded) == 4 and len(loaded.rejected) == 4
    assert {"--speaker 'a_(\\d+)' does not match its path"} == {e.reason for e in loaded.rejected}
    with pytest.raises(CorpusError, match="matches none of 8 clips"):
        corpus.load(folder, speaker="folder:2")


def test_one_speaker(folder):
    loaded = corpus.load(folder, one_speaker=True)
    assert loaded.speakers == ["1"] and loaded.speakers_from.kind == "one"


def test_contradictions_and_mistakes_are_refused():
    with pytest.raises(CorpusError, match="cannot be combined"):
        Reading(speaker="a", one_speaker=True)
    with pytest.raises(CorpusError, match="not a regular expression"):
        Reading(speaker="(")
    with pytest.raises(UnknownNameError, match="middle"):
        Reading(channel="middle")
    with pytest.raises(UnknownNameError, match="furious"):
        Reading({"x": "furious"})


def test_channels_become_clips(folder):
    assert {e.channel for e in corpus.load(folder).excerpts} == {None}
    assert {e.channel for e in corpus.load(folder, channel="mix").excerpts} == {None}
    assert {e.channel for e in corpus.load(folder, channel="right").excerpts} == {1}
    each = corpus.load(folder, channel="each")
    assert len(each) == 16 and {e.channel for e in each.excerpts} == {0, 1}
    assert {"happy/a_03#left", "happy/a_03#right"} <= set(each.table["clip"])


def test_parts_of_a_file_are_excerpts(folder, tmp_path):
    table = corpus.load(folder).table.assign(start=0.5, end=float("nan"))
    parts = corpus.Corpus("mine", table).excerpts
    assert parts[0] == Excerpt(table["path"].iloc[0], 0.5, None, None)


def test_sources_of_one_name_stay_apart(folder, tmp_path):
    other = tmp_path / "other" / "mine"
    other.parent.mkdir()
    folder.rename(other)
    for emotion in ("happy", "sad"):
        (folder / emotion).mkdir(parents=True)
        (folder / emotion / "a_03.wav").write_bytes((other / emotion / "a_03.wav").read_bytes())
    both = corpus.load(folder, other, speaker=r"_(\d+)")
    assert len(both) == 10 and len(both.speakers) == 3
    assert set(both.table["corpus"]) == {str(folder), str(other)}
