"""The bundled embeddings of RAVDESS: what the shipped model's encoder gives for the recordings."""

import numpy as np

from emoscope import audio, corpus, modelfile
from emoscope.dataset import bundled
from emoscope.evaluation.comparison import compare
from emoscope.models.described import ON_EMBEDDINGS


def test_they_are_those_of_the_recordings(ravdess):
    """To half a step of eight bits, and what arithmetic on another machine changes."""
    stored = bundled.embeddings(bundled.load()[0])
    recordings = corpus.load(ravdess).table
    paths = dict(zip(recordings["clip"], recordings["path"], strict=True))
    model = modelfile.load(bundled.ENCODER)
    assert stored.specs == [{"name": "encoder", "model": model.identity}]
    for row in range(0, len(stored.clips), 180):
        signal = audio.load(paths[stored.clips[row]])
        _, embedding = model.run(model.prepare(signal))
        np.testing.assert_allclose(stored.X[row], embedding[0], atol=0.55 * bundled.STEP)


def test_rows_follow_the_clips_and_the_discriminant_hears_unseen_speakers():
    speech, vector, _ = bundled.load()
    chosen = speech.select(emotions=["angry", "sad"])
    embedded = bundled.embeddings(chosen)
    whole = bundled.embeddings(speech)
    assert embedded.clips == chosen.table["clip"].tolist()
    assert np.array_equal(embedded.X, whole.X[speech.table["clip"].isin(embedded.clips)])
    rows = vector.rows(speech.table.index.get_indexer(chosen.table.index))
    features = {"vector": rows, "embedding": embedded}
    result = compare(
        chosen, features, models={"encoder-lda": ON_EMBEDDINGS}, leak_protocol=None, jobs=1
    )
    (run,) = result.runs
    assert run.features == "encoder" and run.uar > 0.9
