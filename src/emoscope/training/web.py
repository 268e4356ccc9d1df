"""The recogniser as a folder of static files that runs in a browser: ``emoscope export --web``.

The page and its scripts are those of the server; the constants and texts that they follow, by module,
are written here. Large files are packed with gzip, whatever a host does.
"""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import numpy as np

from .. import audio, labels, modelfile
from .._version import __version__
from ..audio import channels, excerpt, fingerprint, level, quality, voice_activity
from ..errors import ModelError
from ..files import DATA, sentence, shipped_table, write_together
from ..modelfile import GRAPH, ModelFile
from ..modelfile.card import Card, JsonObject
from ..models import offsets
from ..prediction import known, microphone, prediction, predictor, timeline

Files: TypeAlias = "dict[str, bytes]"  # by their path in the folder, with slashes

PAGE = Path(DATA).parent / "server" / "web"
RUNTIME = Path(DATA) / "web"  # onnxruntime-web 1.30.0, its build for WebAssembly alone
ROOT = Path(DATA).parents[2]  # of a clone
FOLLOWED: tuple[ModuleType, ...] = (
    audio, channels, excerpt, fingerprint, level, quality, voice_activity, offsets, known, microphone,
    prediction, predictor, timeline,
)  # fmt: skip
EXAMPLES = "EMO-DB, CC0 1.0"


def write(model: ModelFile, folder: str | os.PathLike[str], name: str) -> dict[str, int]:
    """Write the folder; bytes by file. `name` is the model's on the page, which has to take samples."""
    contents = files(model, name)
    write_together({Path(folder, path): content for path, content in contents.items()})
    return {path: len(content) for path, content in contents.items()}


def files(model: ModelFile, name: str) -> Files:
    """What the folder holds."""
    if model.card.input.kind != "samples" or modelfile.is_foreign(model.path):
        raise ModelError(sentence("only_samples", path=model.path))
    whole = modelfile.read(model.path)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        graph = archive.read(GRAPH)
    detector = Path(DATA, voice_activity._GRAPH).read_bytes()
    words, corpora = _fingerprints(model.card)
    loaded = {  # by the name that the engine has for it
        "wasm": ("runtime.wasm.gz", (RUNTIME / "ort-wasm-simd-threaded.wasm.gz").read_bytes()),
        "runtime": ("runtime.js", (RUNTIME / "ort.wasm.bundle.min.mjs").read_bytes()),
        "model": ("model.onnx.gz", gzip.compress(graph, mtime=0)),
        "detector": ("detector.onnx.gz", gzip.compress(detector, mtime=0)),
        **({"known": ("known.bin.gz", gzip.compress(words, mtime=0))} if corpora else {}),
    }
    licences = (RUNTIME / "onnxruntime_web.LICENSE", Path(DATA, "silero_vad.LICENSE"))
    small = {**_page(), **_below("examples", *_examples()), **_below("licences", *licences)}
    settings = {
        **_settings(model.card),
        "models": [model.card.shown(name, len(whole))],
        "files": {key: {"path": p, "bytes": len(c)} for key, (p, c) in loaded.items()},
        "known": corpora,
        "examples": [
            {"name": Path(p).stem.replace("-", ", "), "file": p, "source": EXAMPLES}
            for p in small if p.endswith(".flac")
        ],
    }  # fmt: skip
    digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=8)
    for content in (*(content for _, content in loaded.values()), *small.values()):
        digest.update(content)
    cache = f"emoscope-{digest.hexdigest()}"
    small["model/emoscope.json"] = json.dumps({"cache": cache, **settings}).encode()
    kept = ["./", *(path for path in small if path != "sw.js"), "model/runtime.js"]
    head = f"const VERSION = {json.dumps(cache)}, FILES = {json.dumps(kept)};\n"
    small["sw.js"] = head.encode() + small["sw.js"]
    return {**small, **{f"model/{path}": content for path, content in loaded.values()}}


def _settings(card: Card) -> JsonObject:
    values = json.loads(card.to_json())
    shared = ("emotions", "input", "temperature", "uncertain", "domain", "offsets")
    told: JsonObject = {key: values[key] for key in shared}
    if card.offsets is not None:
        covariance = card.offsets.covariance.astype(np.float64)
        told["offsets"]["precision"] = offsets.precision(covariance).tolist()
    # What is written in capitals, but no tuple with names: it holds arrays.
    constants: dict[str, JsonObject] = {
        module.__name__.rpartition(".")[2]: {
            name: value for name, value in vars(module).items()
            if name.isupper() and name != "DATA" and type(value) in (int, float, str, tuple)
        }
        for module in FOLLOWED
    }  # fmt: skip
    for module, texts in shipped_table("sentences.toml").items():
        if isinstance(texts, dict):
            constants[module] |= {name.upper(): text for name, text in texts.items()}
    constants["microphone"]["WINDOWS"] = dataclasses.asdict(microphone.WINDOWS)
    constants["labels"] = {"POSITIONS": dict(labels.POSITIONS), "AXES": labels.AXES}
    about = dataclasses.asdict(card.about)
    return {"emoscope": __version__, "card": told, "constants": constants, "about": about}


def _fingerprints(card: Card) -> tuple[bytes, list[Mapping[str, object]]]:
    index = known.index()
    trained, of = index.trained_on(card), np.zeros(len(index.lengths), np.uint32)
    corpora: list[Mapping[str, object]] = []
    for corpus in card.training.corpora:
        clips = trained & (index.corpora == corpus.name)
        of[clips] = len(corpora) + 1
        told = {"name": corpus.name, "n_clips": corpus.n_clips, "n_eligible": int(clips.sum())}
        corpora += [told] if clips.any() else []
    parts = ([len(index.lengths)], index.lengths, of, index.words)
    return np.concatenate(parts).astype("<u4").tobytes(), corpora


def _page() -> Files:
    """The page as the server has it, told that a model lies beside it, and what it may do."""
    kinds = (".js", ".css", ".svg", ".json", ".ts")
    paths = (p for p in sorted(PAGE.rglob("*")) if p.suffix in kinds and p.name != "docs.js")
    found = {f"web/{path.relative_to(PAGE).as_posix()}": path.read_bytes() for path in paths}
    policy = shipped_table("server.toml")["headers"]["content-security-policy"]
    policy = policy.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
    policy = policy.replace("worker-src 'self'", "worker-src 'self' blob:")
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy.split("; frame-")[0]}">'
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    page = page.replace('<html lang="en">', '<html lang="en" data-model="model/">')
    page = page.replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n  {meta}')
    return {"index.html": page.encode(), **found, "sw.js": found.pop("web/engine/sw.js")}


def _examples() -> list[Path]:
    places = (Path(DATA, "examples"), ROOT / "examples")
    return sorted(p for f in places for p in (*f.glob("*.flac"), *f.glob("README.md")))


def _below(folder: str, *paths: Path) -> Files:
    return {f"{folder}/{path.name}": path.read_bytes() for path in paths}
