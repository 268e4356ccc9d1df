from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from emoscope import audio, corpus
from emoscope.audio import fingerprint
from emoscope.audit import audit
from emoscope.audit import sources as audit_sources
from emoscope.corpus import writing
from emoscope.errors import CorpusError, EmoscopeError
from emoscope.files import DATA, shipped_table

DEFAULT_MODEL = f"{DATA}/default.emoscope"

RATE = 16_000
EMOTIONS = ["01", "02", "03", "04", "05", "06", "07", "08"]


def utterance(seed, seconds=2.4):
    """Syllables with harmonics, formants and noise: lively as speech, other for each seed."""
    rng, n = np.random.default_rng(seed), int(seconds * RATE)
    samples, at = rng.normal(0, 1e-4, n), int(0.1 * RATE)
    while at < n - RATE // 5:
        length = int(rng.uniform(0.1, 0.25) * RATE)
        t = np.arange(min(length, n - at)) / RATE
        pitch = rng.uniform(90, 280) * (1 + rng.uniform(-0.3, 0.3) * t / t[-1])
        phase = 2 * np.pi * np.cumsum(pitch) / RATE
        formants = rng.uniform([300, 900, 2200], [900, 2200, 3400])
        syllable = rng.normal(0, 0.02, len(t))
        for k in range(1, 16):
            gain = np.exp(-(((k * pitch.mean() - formants) / 300) ** 2)).sum() + 0.03
            syllable += gain * np.sin(k * phase)
        samples[at : at + len(t)] += 0.1 * syllable * np.hanning(len(t))
        at += length + int(rng.uniform(0.01, 0.08) * RATE)
    return (samples / np.abs(samples).max() * 0.5).astype(np.float32)


def write(path, samples, rate=RATE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Eight speakers with three clips each; the last two test."""
    folder, rows = tmp_path_factory.mktemp("clean"), []
    for speaker in range(8):
        for n in range(3):
            file = f"s{speaker}_{n}.wav"
            write(folder / file, utterance(100 * speaker + n))
            rows.append(
                {
                    "file": file,
                    "speaker": f"s{speaker}",
                    "emotion": ["sad", "happy", "angry"][n],
                    "text": f"sentence {speaker} {n}",
                    "split": "test" if speaker > 5 else "train",
                }
            )
    return folder, pd.DataFrame(rows)


def audited(folder, table, name="split.csv", **options):
    table.to_csv(folder / name, index=False)
    return audit(folder / name, jobs=1, **options)


def kinds(outcome, severity=None):
    return {f.kind for f in outcome.findings if severity in (None, f.severity)}


def added(table, **row):
    base = {"speaker": "new", "emotion": "sad", "text": "another", "split": "test"}
    return pd.concat([table, pd.DataFrame([{**base, **row}])], ignore_index=True)


def test_clean_split_has_no_findings(clean):
    outcome = audited(*clean)
    assert outcome.findings == []
    assert not outcome.leaks
    assert outcome.verdict == "No leak found."
    assert (outcome.n_train, outcome.n_test, outcome.n_recordings) == (18, 6, 24)


def test_shared_speaker_is_a_leak(clean):
    folder, table = clean
    table = table.assign(split=["test" if n % 3 == 0 else "train" for n in range(len(table))])
    outcome = audited(folder, table)
    assert "shared-speakers" in kinds(outcome, "leak")
    finding = outcome.findings[0]
    assert finding.text == "8 speakers are in both training and test."
    assert finding.evidence[0] == {"speaker": "s0", "train_clips": 2, "test_clips": 1}
    assert outcome.verdict.startswith("Leak found: 8 speakers are in both training and test.")


def test_clip_on_both_sides_is_a_leak(clean):
    folder, table = clean
    outcome = audited(folder, added(table, file="s0_0.wav"))
    assert "same-clip" in kinds(outcome, "leak")


STORED_ANEW = {
    "identical-audio": lambda path, y: write(path, y),
    "gain": lambda path, y: write(path, 0.23 * y),
    "padded": lambda path, y: write(path, np.r_[np.zeros(4321), y, np.zeros(999)] + 1e-4),
    "coded": lambda path, y: write(path.with_suffix(".ogg"), y),
    "telephone": lambda path, y: write(path, np.asarray(y[::2]), 8000),
    "noisy": lambda path, y: write(path, y + np.random.default_rng(1).normal(0, 5e-3, len(y))),
}


@pytest.mark.parametrize("how", STORED_ANEW)
def test_copy_of_a_training_recording_is_a_leak(clean, how, tmp_path):
    folder, table = clean
    path = STORED_ANEW[how](tmp_path / "copy.wav", utterance(101))
    outcome = audited(folder, added(table, file=str(path)))
    expected = "identical-audio" if how == "identical-audio" else "near-identical-audio"
    assert kinds(outcome, "leak") in ({expected}, {"excerpt"} if how == "noisy" else {expected})
    evidence = outcome.findings[0].evidence
    assert [(piece["train"], piece["test"]) for piece in evidence] == [
        (str(folder / "s1_1.wav"), str(path))
    ]
    assert evidence[0]["emotions"] == ["happy", "sad"]


def test_excerpt_of_a_training_recording_is_a_leak(clean, tmp_path):
    folder, table = clean
    path = write(tmp_path / "part.wav", utterance(200)[RATE // 2 : 2 * RATE])
    assert kinds(audited(folder, added(table, file=str(path))), "leak") == {"excerpt"}


def test_recordings_that_share_a_passage_are_a_leak(clean, tmp_path):
    folder, table = clean
    joined = np.r_[utterance(201)[: int(1.5 * RATE)], utterance(9)]
    path = write(tmp_path / "joined.wav", joined)
    assert kinds(audited(folder, added(table, file=str(path))), "leak") == {"excerpt"}


def test_copy_on_one_side_is_only_noted(clean, tmp_path):
    folder, table = clean
    path = write(tmp_path / "copy.wav", utterance(101))
    outcome = audited(folder, added(table, file=str(path), split="train"))
    assert kinds(outcome) == {"identical-audio-on-one-side"}
    assert not outcome.leaks


def test_overlapping_segments_are_a_leak_and_separate_ones_are_not(clean):
    folder, table = clean
    rows = table.assign(start="", end="")
    rows = added(rows, file="s0_0.wav", speaker="s0", split="train", start="0.0", end="1.2")
    apart = added(rows, file="s0_0.wav", start="1.2", end="2.0")
    overlapping = added(rows, file="s0_0.wav", start="1.0", end="2.0")
    assert kinds(audited(folder, apart), "leak") == set()
    nameless = audited(folder, apart.assign(speaker=""))
    assert "shared-recordings" in kinds(nameless, "caution")
    outcome = audited(folder, overlapping)
    assert kinds(outcome, "leak") == {"overlapping-segments"}
    assert outcome.findings[0].evidence[0]["test"] == [1.0, 2.0]


def test_shared_sentence_is_a_caution_whatever_its_case(clean):
    folder, table = clean
    outcome = audited(folder, added(table, file="s7_0.wav", text="Sentence 0  1"))
    assert "same-sentence" in kinds(outcome, "caution")


def test_imbalance_and_missing_emotions(clean):
    folder, table = clean
    rows = table.assign(emotion=["sad"] * 20 + ["bored"] * 4)
    outcome = audited(folder, rows)
    assert "class-imbalance" in kinds(outcome, "note")
    assert "missing-emotion" in kinds(outcome, "caution")
    texts = " ".join(f.text for f in outcome.findings)
    assert "sad has 5.0 times as many clips as bored" in texts


def test_unknown_speakers_and_absent_recordings_are_said(tmp_path):
    (tmp_path / "train.txt").write_text("a/one.wav\n# a remark\n\na/two.wav\n")
    (tmp_path / "test.txt").write_text("a/three.wav\na/one.wav\n")
    outcome = audit(tmp_path / "train.txt", tmp_path / "test.txt", jobs=1)
    assert kinds(outcome, "leak") == {"same-clip"}
    assert "unknown-speakers" in kinds(outcome, "caution")
    assert outcome.n_recordings == 0
    assert outcome.as_dict()["leaks"] is True


def test_unreadable_recording_is_named(clean, tmp_path):
    folder, table = clean
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    outcome = audited(folder, added(table, file=str(tmp_path / "broken.wav")))
    assert [error.path for error in outcome.rejected] == [str(tmp_path / "broken.wav")]


def ravdess_names(actor):
    """The 60 names of an actor's speech clips."""
    return [
        f"03-01-{emotion}-{intensity}-{statement}-{repetition}-{actor:02d}"
        for emotion in EMOTIONS
        for intensity in (["01"] if emotion == "01" else ["01", "02"])
        for statement in ("01", "02")
        for repetition in ("01", "02")
    ]


@pytest.fixture(scope="module")
def emobox(tmp_path_factory):
    """EmoBox's six folds of RAVDESS, as its JSON Lines have them."""
    root = tmp_path_factory.mktemp("emobox")
    for number, test in enumerate(shipped_table("published_folds.toml")["speaker-6fold"], 1):
        for side in ("train", "test"):
            actors = [a for a in range(1, 25) if (a in test) == (side == "test")]
            lines = [
                {"key": f"ravdess-{name}", "dataset": "ravdess", "emo": "Sad",
                 "wav": f"downloads/ravdess/audio/Actor_{actor:02d}/{name}.wav"}
                for actor in actors for name in ravdess_names(actor)
            ]  # fmt: skip
            file = root / f"fold_{number}" / f"ravdess_{side}_fold_{number}.jsonl"
            file.parent.mkdir(exist_ok=True)
            file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def test_emobox_folds_share_nothing_but_the_two_sentences(emobox):
    outcome = audit(emobox, jobs=1)
    assert (outcome.n_splits, outcome.n_train, outcome.n_test) == (6, 1200, 240)
    assert [(f.kind, f.count) for f in outcome.findings] == [("same-sentence", 2)]
    assert "(in 6 of 6 folds)" in outcome.findings[0].text


def test_real_recordings_of_emobox_give_the_identical_pair(emobox, ravdess):
    outcome = audit(emobox, audio=ravdess / "Actor_07", jobs=1)
    assert outcome.n_recordings == 60
    assert kinds(outcome) == {"same-sentence", "identical-audio-on-one-side"}
    pair = outcome.findings[-1].evidence[0]["clips"]
    assert [audit_sources.PurePath(path).stem for path in pair] == [
        "03-01-03-01-02-01-07",
        "03-01-03-01-02-02-07",
    ]


def test_repetitions_of_one_sentence_by_one_actor_are_not_taken_for_copies(ravdess):
    prints = [
        fingerprint.fingerprint(audio.load(path))
        for path in sorted((ravdess / "Actor_23").glob("03-01-0[1-4]-*.flac"))
    ]
    assert len(prints) == 28
    assert fingerprint.matches(prints) == []


def test_folds_column_tests_each_fold_once(clean):
    folder, table = clean
    table = table.drop(columns="split").assign(fold=table["speaker"].str[1])
    outcome = audited(folder, table)
    assert (outcome.n_splits, outcome.n_test) == (8, 3)
    assert outcome.findings == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,emotion\na.wav,sad\n", "no column that assigns clips"),
        ("file,split\na.wav,train\n", "needs both training and test clips; found only: train"),
        ("file,split\na.wav,left\n", "unknown split in .*m.csv 'left'. Valid: train"),
        ("emotion,split\nsad,train\n", "no column of files"),
    ],
)
def test_sources_that_say_too_little_are_refused(tmp_path, content, message):
    (tmp_path / "m.csv").write_text(content)
    with pytest.raises(EmoscopeError, match=message):
        audit(tmp_path / "m.csv")
    with pytest.raises(CorpusError, match="has no results.json"):
        audit(tmp_path)
    with pytest.raises(CorpusError, match="is a model file; give a manifest"):
        audit(DEFAULT_MODEL)
    with pytest.raises(CorpusError, match="no such file"):
        audit(tmp_path / "absent.csv")


def test_fingerprints_are_found_among_many(tmp_path):
    prints = []
    for n in range(12):
        path = write(tmp_path / f"{n}.wav", utterance(n))
        prints.append(fingerprint.fingerprint(audio.load(path)))
    path = write(tmp_path / "part.wav", 0.4 * utterance(5)[RATE // 2 :])
    found = fingerprint.matches([*prints, fingerprint.fingerprint(audio.load(path))])
    assert [(m.first, m.second, m.relation) for m in found] == [(5, 12, "excerpt")]
    assert found[0].shift == pytest.approx(0.5, abs=0.02)
    assert audio.load(path).duration == pytest.approx(1.9)


def test_the_same_name_in_two_folders_is_not_the_same_clip(clean, tmp_path):
    """SAVEE and others call a clip by the speaker's folder and a number."""
    folder, table = clean
    files = [tmp_path / row["speaker"] / f"a{n % 3}.wav" for n, row in table.iterrows()]
    for file, old in zip(files, table["file"], strict=True):
        file.parent.mkdir(exist_ok=True)
        file.symlink_to(folder / old)
    listed = table.assign(file=[str(file.relative_to(tmp_path)) for file in files])
    assert audited(tmp_path, listed).findings == []
    absent = tmp_path / "elsewhere"
    absent.mkdir()
    assert audited(absent, listed).findings == []


def test_one_file_under_two_names_is_the_same_clip(clean):
    folder, table = clean
    both = added(table.assign(clip=table["file"]), file="s0_0.wav", clip="another")
    outcome = audited(folder, both)
    assert [(f.kind, f.evidence) for f in outcome.findings if f.kind == "same-clip"] == [
        ("same-clip", [{"clip": "another"}])
    ]


def test_equal_names_of_speakers_in_two_corpora_are_two_speakers(clean):
    folder, table = clean
    table = table.assign(corpus=np.where(table["split"] == "test", "two", "one"))
    table.loc[table["split"] == "test", "speaker"] = "s0"
    table["clip"] = [f"{n % 6}" for n in range(len(table))]
    assert not audited(folder, table).leaks
    assert "shared-speakers" in kinds(audited(folder, table.drop(columns="corpus")), "leak")


def test_recordings_that_cannot_be_read_cost_no_finding(tmp_path):
    for n in range(4):
        write(tmp_path / f"{n}.wav", utterance(n))
    rows = [(0, "train", "a", "sad"), (1, "train", "b", "happy"),
            (2, "test", "a", "sad"), (3, "test", "b", "happy")]  # fmt: skip
    lines = [f"{n}.wav,{split},{who},{emotion}" for n, split, who, emotion in rows]
    source = tmp_path / "m.csv"
    source.write_text("\n".join(["file,split,speaker,emotion", *lines]) + "\n")
    for breaking in (False, True):
        if breaking:
            for n in range(4):
                (tmp_path / f"{n}.wav").write_text("version https://git-lfs.github.com/spec/v1\n")
        outcome = audit(source, jobs=1)
        assert "shared-speakers" in kinds(outcome, "leak")
        assert len(outcome.rejected) == (4 if breaking else 0)


@pytest.mark.parametrize("form", ["audformat", "huggingface"])
def test_databases_and_audio_folders_are_audited_as_manifests_are(clean, tmp_path, form):
    folder, table = clean
    table["file"] = [str(folder / file) for file in table["file"]]
    table.to_csv(tmp_path / "m.csv", index=False)
    made = tmp_path / "made"
    writing.write(corpus.load(tmp_path / "m.csv"), made, format=form)
    outcome = audit(made, jobs=1)
    assert (outcome.n_train, outcome.n_test, outcome.findings) == (18, 6, [])
    if form == "audformat":
        assert audit(made / "db.yaml", jobs=1).n_test == 6


def test_an_empty_column_of_folds_is_named(tmp_path):
    (tmp_path / "m.csv").write_text("file,fold\na.wav,\nb.wav,\n")
    with pytest.raises(CorpusError, match="the column 'fold' is empty"):
        audit(tmp_path / "m.csv")


def test_text_that_no_encoding_has_is_escaped(emoscope, tmp_path):
    rows = [
        {"file": "\ud800.wav", "split": split, "speaker": "\udfff", "\ud801": "x"}
        for split in ("train", "test")
    ]
    source, out = tmp_path / "m.jsonl", tmp_path / "audit.json"
    source.write_text("\n".join(map(json.dumps, rows)))
    status, said, _ = emoscope("audit", source, "--out", out)
    assert status == 1 and "Leak found" in said
    found = {f["kind"]: f["evidence"] for f in json.loads(out.read_text())["findings"]}
    assert found["shared-speakers"][0]["speaker"] == "\\udfff"
