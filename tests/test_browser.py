"""The recogniser in the browser says what Python says: part by part, then whole recordings."""

from __future__ import annotations

import base64
import dataclasses
import functools
import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

import tiny_model
from chromium import launched
from emoscope import __version__, modelfile
from emoscope.audio import fingerprint, voice_activity
from emoscope.errors import ModelError
from emoscope.modelfile.about import About
from emoscope.modelfile.card import Training, TrainingCorpus
from emoscope.prediction import Prediction, Predictor, Segment, formats
from emoscope.training import web
from recordings import RATE, at_level, silence, voice
from spoken import csv_of
from test_channels import ANNE, BERT, NOTHING

EXAMPLES = Path(__file__).parents[1] / "examples"
HELPERS = """
  window.floats = (text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  window.recogniser = async () => (window.loaded ??= (async () => {
    const { load } = await import(new URL("web/engine/emoscope.js", location.href));
    return load(new URL("model/", location.href));
  })());
"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files below a folder, without a word."""

    def log_message(self, *_: object) -> None:
        pass


def model(folder: Path) -> Path:
    """One with offsets, which was trained on clips of EMO-DB."""
    corpus = TrainingCorpus(name="emodb", n_clips=535, speakers=("10", "13"))
    training = Training(corpora=(corpus,))
    return tiny_model.write(folder, offsets=tiny_model.offsets(), training=training)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("browser")
    web.write(modelfile.load(model(root)), root / "site" / "below", "level")
    return root


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor(folder / "level.emoscope")


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Any]:
    """A page of the folder, which lies below the root of its site."""
    handler = functools.partial(Handler, directory=folder / "site")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with launched() as browser:
        opened = browser.new_page()
        opened.set_default_timeout(20_000)
        opened.add_init_script(HELPERS)
        opened.goto(f"http://127.0.0.1:{server.server_port}/below/")
        yield opened
    server.shutdown()
    thread.join()


def packed(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def ask(page: Any, script: str, **given: object) -> Any:
    """What a script gives that has `given`; `recogniser` and the modules are at hand."""
    modules = ("numbers", "resample", "voice", "quality", "timeline", "known", "formats")
    names = ", ".join(
        f"{name}: import(new URL('web/engine/{name}.js', location.href))" for name in modules
    )
    start = f"const m = {{}}; for (const [n, p] of Object.entries({{{names}}})) m[n] = await p;"
    return page.evaluate(f"async (given) => {{ {start} {script} }}", given)


def classified(page: Any, path: Path, **options: object) -> list[dict[str, Any]]:
    content = base64.b64encode(path.read_bytes()).decode()
    script = """
      const bytes = Uint8Array.from(atob(given.content), (c) => c.charCodeAt(0));
      return (await recogniser()).classify(new File([bytes], given.name), given.options);
    """
    found: list[dict[str, Any]] = ask(
        page, script, content=content, name=path.name, options=options
    )
    return found


def alike(found: Any, expected: Any, *, within: float = 2e-4) -> None:
    """The same words in the same order, and nearly the same numbers."""
    assert type(found) is type(expected) or {type(found), type(expected)} == {int, float}
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            alike(found[key], value, within=within)
    elif isinstance(expected, list):
        assert len(found) == len(expected), (found, expected)
        for one, other in zip(found, expected, strict=True):
            alike(one, other, within=within)
    elif isinstance(expected, int | float) and not isinstance(expected, bool):
        assert found == pytest.approx(expected, abs=within)
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("rate", "quality", "within"),
    [(48_000, "HQ", 1e-4), (44_100, "HQ", 1e-3), (8_000, "HQ", 1e-3), (44_100, "QQ", 1e-5)],
)
def test_resampling(page: Any, rate: int, quality: str, within: float) -> None:
    """White noise, in one piece and in many: relative to its level."""
    noise = np.random.default_rng(0).normal(0, 0.1, 9_001).astype(np.float32)
    script = """
      const x = floats(given.x), made = () => new m.resample.Resampler(given.rate, 16000, given.quality);
      const pieces = made(), cut = [];
      for (let i = 0; i < x.length; i += 700) cut.push(pieces.feed(x.subarray(i, i + 700)));
      cut.push(pieces.feed(new Float32Array(0), true));
      return [made().feed(x, true), m.numbers.joined(cut)].map((y) => [...y]);
    """
    whole, cut = ask(page, script, x=packed(noise), rate=rate, quality=quality)
    expected = soxr.resample(noise, rate, RATE, quality=quality)
    assert whole == cut
    assert len(whole) == len(expected)
    assert np.sqrt(np.mean((whole - expected) ** 2) / np.mean(expected**2)) < within


def test_texts_and_rounding_are_those_of_python(page: Any) -> None:
    values = [0.0625, 1.0625, 0.1875, 2.675, 1 / 3, 1e-7, 0.5, -0.0625]
    rounded = ask(page, "return given.values.map((v) => m.numbers.round(v, 3));", values=values)
    assert rounded == [round(value, 3) for value in values]
    text = "{a:.2f} s, {b:g}, {c:.0%}, {d:.3g}, {e}"
    given = {"a": 1.005, "b": 0.5, "c": 0.125, "d": 12.3456, "e": "x"}
    said = ask(page, "return m.numbers.fill(given.text, given.values);", text=text, values=given)
    assert said == text.format(**given)


def test_speech_is_found_in_the_same_frames(page: Any) -> None:
    sound = np.concatenate([silence(0.5), voice(1.5), silence(0.7), voice(1.0, 400.0, tempo=7)])
    script = """
      const one = await recogniser();
      await one.ready;
      return one.call("frames", { samples: floats(given.x) });
    """
    speech, level = ask(page, script, x=packed(sound))
    expected = voice_activity.VoiceActivity().feed(sound, last=True)
    np.testing.assert_allclose(speech, expected.speech, atol=1e-4)
    np.testing.assert_allclose(level, expected.level, atol=1e-3)


def test_fingerprints(page: Any) -> None:
    sound = voice(1.5, rate=4_000) + silence(1.5, rate=4_000)
    script = """
      const { constants } = (await recogniser()).settings;
      const { words, sounding } = m.known.bits(floats(given.x), 4000, constants.fingerprint);
      return [[...words], sounding];
    """
    words, sounding = ask(page, script, x=packed(sound))
    expected, loud = fingerprint.bits(sound, rate=4_000)
    assert sounding == loud.tolist()
    wrong = np.bitwise_count(np.array(words, np.uint32) ^ expected).mean()
    assert wrong < 0.1  # of 32


def recordings(folder: Path) -> Iterator[Path]:
    """One for each way through the recogniser."""
    sad, angry = (at_level(voice(3.0, 100.0), level) for level in (-35, -15))
    parts = {
        "two voices": np.concatenate([silence(1.0), sad, silence(1.0), angry, silence(1.0)]),
        "long": np.concatenate([angry, silence(2.0), sad, angry, silence(1.5), sad, sad]),
        "short": at_level(voice(0.3), -25),
        "quiet": silence(2.0),
        "noisy": at_level(voice(2.0), -25) + np.random.default_rng(0).normal(0, 0.02, 2 * RATE),
        "no voice": np.random.default_rng(0).normal(0, 0.05, 20 * RATE),
        "clipped": np.clip(8 * at_level(voice(2.0), -15), -0.9, 0.9),
        "call": np.stack([np.r_[ANNE, NOTHING], np.r_[NOTHING, BERT]], axis=1),
        "stereo": np.stack([angry, 0.5 * angry], axis=1),
        "three": np.stack([angry, sad, angry], axis=1),
    }
    for name, samples in parts.items():
        path = folder / f"{name}.wav"
        soundfile.write(path, samples, RATE, subtype="FLOAT")
        yield path
    soundfile.write(folder / "rate.wav", voice(2.0, rate=44_100), 44_100, subtype="PCM_24")
    yield folder / "rate.wav"
    yield EXAMPLES / "woman-angry.flac"


def test_predictions_are_those_of_the_server(
    page: Any, predictor: Predictor, tmp_path: Path
) -> None:
    """Field for field: the labels, their probabilities, warnings, segments, channels."""
    heard = set()
    for path in recordings(tmp_path):
        whole = predictor.predict(path, timeline=True)
        alone = (dataclasses.replace(one, summary=None) for one in whole.each)
        expected = [{**one.to_dict(), "file": path.name} for one in alone]
        alike(classified(page, path), expected, within=2e-3 if path.stem == "rate" else 2e-4)
        heard |= {said.split(":")[0] for one in whole.each for said in one.warnings}
    assert heard >= {"too short", "silent", "no speech", "noisy", "clipped", "mixed", "unfamiliar"}
    assert heard >= {"two channels", "3 channels", "training data"}


def test_what_cannot_be_used_is_told_alike(page: Any, predictor: Predictor, tmp_path: Path) -> None:
    broken = {
        "brief": at_level(voice(0.05), -25),
        "still": np.full(RATE, 0.1),
        "inverted": np.stack([voice(1.0), -voice(1.0)], axis=1),
        "huge": 100 * voice(1.0),
        "none": np.zeros(0),
    }
    for name, samples in broken.items():
        soundfile.write(path := tmp_path / f"{name}.wav", samples, RATE, subtype="FLOAT")
        with pytest.raises(Exception) as refused:
            predictor.predict(path)
        with pytest.raises(Exception, match="Error: ") as told:
            classified(page, path)
        assert refused.value.reason in str(told.value)
    (tmp_path / "text.wav").write_bytes(b"no sound in here")
    with pytest.raises(Exception, match="not audio that this browser can decode"):
        classified(page, tmp_path / "text.wav")


def test_recordings_of_one_source_together(page: Any, predictor: Predictor, tmp_path: Path) -> None:
    paths = []
    for n, level in enumerate((-20, -30, -22, -31)):
        paths.append(tmp_path / f"{n}.wav")
        soundfile.write(paths[-1], at_level(voice(1.5, seed=n), level), RATE, subtype="FLOAT")
    content = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    script = """
      const one = await recogniser(), found = [];
      for (const [n, text] of given.content.entries()) {
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        found.push(...await one.classify(new Blob([bytes]), { name: `${n}.wav`, timeline: false }));
      }
      return one.together(found);
    """
    expected = list(predictor.predict_many([str(p) for p in paths], together=True))
    alone = list(predictor.predict_many([str(p) for p in paths]))
    assert [one.emotion for one in expected] != [one.emotion for one in alone]  # type: ignore[union-attr]
    named = [
        {**one.to_dict(), "file": path.name} for one, path in zip(expected, paths, strict=True)
    ]  # type: ignore[union-attr]
    alike(ask(page, script, content=content), named)


def test_exports_are_those_of_python(page: Any, predictor: Predictor, tmp_path: Path) -> None:
    sound = np.concatenate([silence(1.0), voice(2.0), silence(1.0)])
    soundfile.write(path := tmp_path / 'two, "words".wav', sound, RATE)
    found = predictor.predict(path, timeline=True)
    script = """
      const names = Object.entries(m.formats.FORMATS);
      return Object.fromEntries(names.map(([name, write]) => [name, write(given.found)]));
    """
    written = ask(page, script, found=found.to_dict())
    emotions = list(found.probabilities)
    table = csv_of(found, emotions, timeline=True, model=found.about.model)
    assert written.pop("csv") == table
    for name, text in written.items():
        wanted = formats.timeline_text(found, name).replace("&#34;", "&quot;")
        assert undated(text.replace("&#34;", "&quot;")) == undated(wanted)


def test_exports_name_the_speakers(page: Any) -> None:
    told = {"sad": 0.75, "angry": 0.25}
    parts = [
        Segment(0.0, 3.0, "sad", 0.75, told, "left", True, ("noisy: very",)),
        Segment(2.0, 4.0, "angry", 0.6, told, "right"),
        Segment(4.0, 5.0, "non-speech", 0.9, {}),
    ]
    about = About(model="level")
    whole = ("a.wav", "sad", 0.75, told, False, ("mixed: so",), tuple(parts))
    found = Prediction(*whole, about=about)
    script = """
      const names = Object.entries(m.formats.FORMATS);
      return Object.fromEntries(names.map(([name, write]) => [name, write(given.found)]));
    """
    written = ask(page, script, found=found.to_dict())
    assert written.pop("csv") == csv_of(found, list(told), timeline=True, model="level")
    for name, text in written.items():
        assert undated(text) == undated(formats.timeline_text(found, name))


def undated(text: str) -> str:
    """A text without the time at which it was written."""
    return re.sub(r'DATE="[\dT:.-]+Z"', "", text)


def test_a_long_recording_tells_how_far_it_is_and_can_be_cancelled(page: Any) -> None:
    sound = np.tile(np.concatenate([at_level(voice(4.0), -15), silence(1.0)]), 5)
    script = """
      const one = await recogniser(), sound = floats(given.x), told = [], end = new AbortController();
      const progress = (fraction) => told.push(fraction);
      await one.classify(sound, { rate: 16000, progress });
      const stopped = one.classify(sound, { rate: 16000, signal: end.signal, progress: () => end.abort() });
      const name = await stopped.then(() => "", (error) => error.name);
      return [told, name, (await one.classify(sound, { rate: 16000 })).length];
    """
    told, stopped, after = ask(page, script, x=packed(sound))
    assert told == sorted(told)
    assert told[-1] == 1
    assert stopped == "AbortError"
    assert after == 1


def test_live_labels(page: Any, predictor: Predictor) -> None:
    sound = np.concatenate([at_level(voice(4.0), -15), silence(3.0)])
    script = """
      const said = [], update = ({ emotion }) => said.push(emotion);
      const live = (await recogniser()).stream({ rate: 16000, update });
      const x = floats(given.x);
      for (let i = 0; i < x.length; i += 1600) await live.push(x.subarray(i, i + 1600));
      return [said, await live.finish()];
    """
    said, whole = ask(page, script, x=packed(sound))
    assert said[0] is None
    assert "angry" in said
    assert said[-1] is None  # a pause
    assert whole["emotion"] == "angry"
    assert whole["segments"][-1]["end"] == 7.0
    cancelled = """
      const live = (await recogniser()).stream({ rate: 16000 }), sound = new Float32Array(1600);
      const first = await live.push(sound);
      live.cancel();
      return [first.seconds, await live.push(sound)];
    """
    assert ask(page, cancelled) == [0.1, None]


def test_a_visitor_needs_no_network_after_the_first_visit(page: Any, folder: Path) -> None:
    context = page.context.browser.new_context()
    opened = context.new_page()
    opened.add_init_script(HELPERS)
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto(page.url)
    opened.evaluate("""async () => {
      await (await recogniser()).ready;
      await navigator.serviceWorker.register("sw.js");
      await navigator.serviceWorker.ready;
    }""")
    kept = "caches.match('model/model.onnx.gz').then((found) => found && navigator.serviceWorker.controller)"
    while not opened.evaluate(f"{kept}.then(Boolean)"):
        time.sleep(0.1)
    context.set_offline(True)
    opened.reload()
    assert opened.locator("h1").is_visible()
    found = classified(opened, EXAMPLES / "woman-angry.flac")
    assert found[0]["emotion"] in tiny_model.EMOTIONS
    assert not faults
    context.close()


def test_the_folder_has_an_npm_package_of_the_version_of_this_one(folder: Path) -> None:
    engine = folder / "site" / "below" / "web" / "engine"
    described = json.loads((engine / "package.json").read_bytes())
    assert described["version"] == __version__
    assert (engine / described["types"]).is_file() and (engine / described["main"]).is_file()


def test_what_a_model_must_be(tmp_path: Path) -> None:
    given = tiny_model.of_feature()
    path = tiny_model.write_linear(tmp_path, given.width, input=given)
    with pytest.raises(ModelError, match="needs a model that takes samples"):
        web.write(modelfile.load(path), tmp_path / "page", "linear")


def test_the_folder_tells_nothing_of_this_machine(folder: Path) -> None:
    settings = json.loads((folder / "site" / "below" / "model" / "emoscope.json").read_bytes())
    assert str(Path.home()) not in json.dumps(settings)
    assert str(web.ROOT) not in json.dumps(settings)
    sizes = [path.stat().st_size for path in (folder / "site").rglob("*") if path.is_file()]
    assert sum(sizes) < 7e6  # without the weights of a real model
