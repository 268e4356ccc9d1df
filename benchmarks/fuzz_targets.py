"""What ``fuzz.py`` fuzzes: each target gives good inputs to begin with, and runs any."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import tempfile

LONGEST_CPU = 10.0
LARGEST_MEMORY = 2048  # MiB
LARGEST_INPUT = 16_384
FORMATS = ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "W64", "RF64", "CAF", "NIST", "AVR", "SVX")
TABLES = ("a.csv", "a.tsv", "a.jsonl", "a.parquet", "db.yaml", "db.files.csv", "db.files.parquet")
ROUTES = ("/api/predict", "/api/predict?timeline=true", "/api/listen")
TYPES = ("multipart/form-data; boundary=b", "application/json", "", "multipart/form-data")
HEADER = b"""name: d
schemes:
  emotion: {dtype: str, labels: {happy: {}, sad: {}}}
  speaker: {dtype: str, labels: {s1: {gender: female}}}
splits: {test: {type: test}}
tables:
  files: {type: filewise, split_id: test, columns: {emotion: {scheme_id: emotion}}}
"""


def sound(form, subtype=None, channels=1):
    """A short recording in one format; empty when this libsndfile does not write it."""
    import numpy as np
    import soundfile

    time = np.arange(2000) / 8000
    samples = np.repeat((0.4 * np.sin(2 * np.pi * 300 * time))[:, None], channels, axis=1)
    file = io.BytesIO()
    try:
        soundfile.write(file, samples, 8000, format=form, subtype=subtype)
    except (soundfile.SoundFileError, ValueError):
        return b""
    return file.getvalue()


def film(ending, codec):
    """A short recording in a container that libsndfile does not know."""
    import av
    import numpy as np

    file = io.BytesIO()
    with av.open(file, "w", format=ending) as container:
        stream = container.add_stream(codec, rate=8000, layout="mono")
        samples = (8000 * np.sin(np.arange(4000) / 5)).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


class Audio:
    """Both ways to read a recording agree, or refuse it with the same reason."""

    def __init__(self, folder):
        from emoscope import audio
        from emoscope.errors import AudioError

        def refuse(name):  # what libsndfile does not know is the target ``video``'s
            raise AudioError(name, "not audio")
            yield

        audio._ffmpeg = refuse
        self.audio, self.path = audio, folder / "clip"

    def seeds(self):
        subtypes = ("PCM_U8", "PCM_24", "FLOAT", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610")
        yield from (sound(form) for form in FORMATS)
        yield from (sound("WAV", subtype) for subtype in subtypes)
        yield sound("WAV", channels=8)

    def run(self, data):
        import numpy as np

        self.path.write_bytes(data)
        whole = self.outcome(lambda: self.audio.load(self.path, max_seconds=600).samples)
        pieces = self.outcome(
            lambda: np.concatenate(
                [piece.samples for piece in self.audio.blocks(self.path, max_seconds=600)]
            )
        )
        if isinstance(whole, str) or isinstance(pieces, str):
            assert type(whole) is type(pieces), (whole, pieces)
        else:
            np.testing.assert_array_equal(whole, pieces)
            assert np.isfinite(whole).all()

    def outcome(self, read):
        from emoscope.errors import AudioError

        try:
            return read()
        except AudioError as error:
            return error.reason


class Video:
    """What libsndfile does not know goes through the package ``av``."""

    def __init__(self, folder):
        from emoscope import audio
        from emoscope.audio import ffmpeg

        ffmpeg.shutil.which = lambda name: None
        self.audio, self.path = audio, folder / "clip"

    def seeds(self):
        for ending, codec in (("mp4", "aac"), ("webm", "libopus"), ("matroska", "pcm_s16le"),
                              ("adts", "aac"), ("asf", "wmav2"), ("avi", "pcm_s16le"),
                              ("mpegts", "mp2"), ("flv", "aac")):  # fmt: skip
            try:
                yield film(ending, codec)
            except Exception as error:  # a codec that this build of PyAV lacks
                print(f"no {codec} in {ending}: {error}", file=sys.stderr)

    def run(self, data):
        self.path.write_bytes(data)
        self.audio.load(self.path, max_seconds=600)


class Manifests:
    """The first byte chooses the kind of table."""

    def __init__(self, folder):
        from emoscope import corpus

        self.corpus, self.folder = corpus, folder

    def seeds(self):
        import pandas as pd

        table = pd.DataFrame({"file": ["a.wav", "b.wav"], "emotion": ["happy", "sad"], "n": [1, 2]})
        packed = io.BytesIO()
        table.to_parquet(packed, compression=None)
        lines = b'{"key": "a", "wav": "a.wav", "emo": "hap", "dataset": "iemocap"}\n' * 2
        texts = (table.to_csv(index=False).encode(), table.to_csv(sep="\t").encode(), lines,
                 packed.getvalue(), HEADER, table.to_csv().encode(), packed.getvalue())  # fmt: skip
        for number, text in enumerate(texts):
            yield bytes([number]) + text

    def run(self, data):
        name = TABLES[data[0] % len(TABLES)] if data else TABLES[0]
        for old in self.folder.glob("*.*"):
            old.unlink()
        (self.folder / name).write_bytes(data[1:])
        if name.startswith("db.files"):
            (self.folder / "db.yaml").write_bytes(HEADER)
        elif name == "db.yaml":
            (self.folder / "db.files.csv").write_text("file,emotion,speaker\na.wav,happy,s1\n")
        self.corpus.load(self.folder if name.startswith("db") else self.folder / name)


class Models:
    """The first byte chooses whether archive, card or graph is foreign; what loads is run and shown.

    A foreign graph is checked here as well, where the fuzzer sees it, and then loaded in a child.
    """

    def __init__(self, folder):
        import tiny_model
        from emoscope import modelfile
        from emoscope.modelfile import safety
        from emoscope.modelfile.card import Card
        from emoscope.training import publishing

        self.model_file, self.safety, self.publishing = modelfile, safety, publishing
        self.read_card = Card.from_json
        self.graph, self.card = tiny_model.graph(), tiny_model.card().to_json()

    def seeds(self):
        yield b"\0" + self.model_file.pack(self.graph, self.card)
        yield b"\1" + self.card.encode()
        yield b"\2" + self.graph

    def run(self, data):
        import numpy as np

        kind, content = (data[0] % 3, data[1:]) if data else (0, b"")
        if kind == 1:
            text = content.decode("utf-8", "replace")
            self.read_card(text)
            content = self.model_file.pack(self.graph, text)
        elif kind == 2:
            self.safety.check(content)
            content = self.model_file.pack(content, self.card)
        loaded = self.model_file.unpack(content, "fuzzed", optimise=bool(len(data) % 2))
        if loaded.card.input.kind == "samples":
            loaded.run(np.linspace(-1, 1, 4000, dtype=np.float32)[None])
        self.publishing.model_card(loaded.card, "fuzzed").encode()


class Http:
    """The first two bytes choose route and type, the rest is the body; no answer may be a 500."""

    def __init__(self, folder):
        import tiny_model
        from emoscope import server
        from emoscope.prediction import Predictor

        tempfile.tempdir = str(folder)
        model = Predictor(tiny_model.write(folder))
        self.app = server.create_app({"level": model})
        self.loop = asyncio.new_event_loop()

    def seeds(self):
        part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        for route in range(3):
            yield bytes([route, 0]) + part + sound("FLAC") + b"\r\n" + part + b"x\r\n--b--\r\n"

    def run(self, data):
        status, body = self.loop.run_until_complete(self.ask(data))
        assert 200 <= status < 500, (status, body)
        if status >= 400:
            assert list(json.loads(body)) == ["error"], body

    async def ask(self, data):
        route = ROUTES[data[0] % len(ROUTES)] if data else ROUTES[0]
        kind = TYPES[data[1] % len(TYPES)] if len(data) > 1 else TYPES[0]
        path, _, query = route.partition("?")
        headers = [(b"host", b"localhost"), (b"content-type", kind.encode())]
        headers += [(b"content-length", str(len(data[2:])).encode())]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "path": path,
                 "method": "POST", "scheme": "http", "raw_path": path.encode(), "root_path": "",
                 "query_string": query.encode(), "headers": headers,
                 "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}  # fmt: skip
        messages = iter([{"type": "http.request", "body": data[2:], "more_body": False}])
        sent = []

        async def receive():
            for message in messages:
                return message
            await asyncio.Event().wait()  # for the answer, and not leave before it

        async def send(message):
            sent.append(message)

        await self.app(scope, receive, send)
        return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:])


TARGETS = {
    "audio": Audio, "video": Video, "manifests": Manifests, "models": Models, "http": Http,
}  # fmt: skip
