"""A trained model for others: an ONNX file that explains itself, and a Hugging Face repository.

The model card is made from the card of the file alone, so that it cannot claim what was not
measured; its layout: https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import yaml

from .. import modelfile
from ..files import write_atomically
from ..modelfile import GRAPH, ModelFile
from ..modelfile.card import Card, TrainingCorpus
from ..unseen import OPTIMISTIC, WORDS, HeldOut

#: Words of a licence → its name on the hub; the strictest first.
LICENCES = {
    "CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0",
    "CC BY-NC 4.0": "cc-by-nc-4.0",
    "CC BY-SA 4.0": "cc-by-sa-4.0",
    "CC BY 4.0": "cc-by-4.0",
    "CC0 1.0": "cc0-1.0",
}
EXCLUDED = (
    "the emotions of staff, job applicants, pupils or students: in the EU the AI Act prohibits it "
    "(Article 5(1)(f), since 2 February 2025)",
    "decisions about a person, lies, intentions, illness or danger: a label is no evidence of any",
    "people who were not told that the system is used (AI Act, Article 50(3), since 2 August 2026)",
)
INPUTS = {
    "samples": "float32 (1, n_samples): mono speech in [-1, 1] at {rate} Hz, prepared as "
    "`preprocess` says",
    "features": "float32 (n_clips, {width}): the columns of `features` in their order",
    "frames": "float32 (1, n_frames, {width}): one clip, rows of `features`",
}


def metadata(card: Card) -> dict[str, str]:
    """What the ONNX file says of itself, by key."""
    values = json.loads(card.to_json())
    corpora = [
        {key: corpus[key] for key in ("name", "n_clips", "licence") if key in corpus}
        for corpus in values["training"]["corpora"]
    ]
    return {
        "emoscope": card.emoscope,
        "name": card.name,
        "signature": _signature(card),
        "emotions": json.dumps(list(card.emotions)),
        "temperature": repr(card.temperature),
        "input": json.dumps(values["input"]),
        "training": json.dumps(corpora),
        "held_out": card.held_out,
        "optimistic": json.dumps(card.optimistic),
        "licence": card.licence,
        "meaning": card.about.meaning,
        "notices": "\n\n".join(card.notices),
    }


def to_onnx(model: ModelFile, path: str | os.PathLike[str]) -> Path:
    """Write the graph of a model with its metadata as an ``.onnx`` file."""
    import onnx

    from ..modelfile import safety

    with zipfile.ZipFile(model.path) as archive:
        graph = onnx.load_from_string(safety.check(archive.read(GRAPH)))
    onnx.helper.set_model_props(graph, metadata(model.card))
    write_atomically(path, graph.SerializeToString())
    return Path(path)


def to_hub(model: ModelFile, folder: str | os.PathLike[str]) -> Path:
    """Write a repository as the Hugging Face hub lays it out; nothing is sent anywhere."""
    name, graph, config, about = hub_files(model, folder)
    write_atomically(name, Path(model.path).read_bytes())
    to_onnx(model, graph)
    write_atomically(config, json.dumps(_config(model.card), indent=1) + "\n")
    write_atomically(about, model_card(model.card, name.name))
    return Path(folder)


def hub_files(model: ModelFile, folder: str | os.PathLike[str]) -> list[Path]:
    """The files of a repository: model, graph, configuration, description."""
    names = (f"{model.card.name}{modelfile.SUFFIX}", "model.onnx", "config.json", "README.md")
    return [Path(folder, name) for name in names]


def model_card(card: Card, file_name: str) -> str:
    """The card of a model as Markdown with the hub's metadata in front."""
    lines = [f"# {card.name}", ""]
    lines += [f"Recognises emotion in speech: {', '.join(card.emotions)}.", "", "## Purpose", ""]
    lines += [f"To compare how recordings sound, where a person checks. {card.about.meaning}"]
    lines += ["", "Not for:", "", *(f"- {use};" for use in EXCLUDED)]
    lines += ["", "`emoscope notice` prints the rules by use, and a notice for participants."]
    lines += ["", "## Use", ""]
    lines += ["```sh", "pip install emoscope", f"emoscope predict speech.wav --model {file_name}"]
    lines += ["```", "", "`model.onnx` runs without emoscope; its metadata hold its signature:", ""]
    lines += [f"- {line}" for line in _signature(card).split("\n")]
    lines += ["", "## Trained on", ""]
    for corpus in card.training.corpora:
        count = "" if corpus.n_clips is None else f", {corpus.n_clips} clips"
        lines.append(
            f"- {corpus.name}{count}{_speakers(corpus, card.held_out)}. "
            f"Licence: {corpus.licence or 'not stated'}. {corpus.citation}".strip()
        )
    lines += ["", "Whether the speakers consented, and to what, their corpora's publications tell."]
    lines += ["", f"## Measured on {WORDS[card.held_out]}", ""]
    lines += _results(card) if card.results else ["Nothing was measured."]
    lines += ["", "Figures by sex, age, language or accent were not measured."]
    lines += ["", "## When a label is uncertain", "", _limits(card)]
    lines += ["", "## Licence", "", card.about.source]
    lines += [part for notice in card.notices for part in ("", notice)]
    front = yaml.safe_dump(_front(card), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n" + "\n".join(lines) + "\n"


def _speakers(corpus: TrainingCorpus, held_out: HeldOut) -> str:
    n = len(corpus.speakers)
    if n == 1:
        return " of one speaker"
    if held_out == "clips":
        return "; who speaks is not known or doubtful"
    return f" of {n} speakers" + (", by the file names" if held_out == "guessed-speakers" else "")


def _results(card: Card) -> list[str]:
    rows = ["| corpus | protocol | UAR (95 % interval over speakers) | accuracy | clips |"]
    rows.append("|---|---|---|---|---|")
    for run in card.results:
        low, high = run.uar_low, run.uar_high
        span = "" if low is None or high is None else f" ({low:.3f}–{high:.3f})"
        cells = [
            run.corpus,
            run.protocol,
            "" if run.uar is None else f"{run.uar:.3f}{span}",
            "" if run.accuracy is None else f"{run.accuracy:.3f}",
            "" if run.n_clips is None else str(run.n_clips),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _limits(card: Card) -> str:
    far = "" if card.domain is None else "; far from the training data"
    below = f"below a confidence of {card.uncertain.threshold:.2f}; without speech{far}"
    rule = f"A label is uncertain, and should not be relied on, {below}. Otherwise {card.worth}."
    if not card.uncertain.coverage:
        rule = f"No label should be relied on: {card.worth}."
    return (
        f"{rule} Acted speech of few speakers taught it; other languages, microphones and spontaneous "
        "speech will score lower."
        + (f" {OPTIMISTIC[0].upper()}{OPTIMISTIC[1:]}." if card.optimistic else "")
    )


def _signature(card: Card) -> str:
    given = INPUTS[card.input.kind].format(rate=card.input.rate, width=card.input.width)
    return (
        f"input `{card.input.kind}`: {given}\n"
        f"output `logits`: float32 (n, {len(card.emotions)}); probabilities of the emotions are "
        f"softmax(logits / {card.temperature:.6g})\n"
        f"output `embedding`: float32 (n, {card.embedding_width}), standardised on the training data"
    )


def _front(card: Card) -> dict[str, object]:
    known = [name for words, name in LICENCES.items() if words in card.licence]
    front: dict[str, object] = {"license": known[0] if known else "other"}
    if not known:
        front["license_name"] = card.licence or "not stated"
    front |= {
        "library_name": "emoscope",
        "pipeline_tag": "audio-classification",
        "tags": ["speech-emotion-recognition", "onnx", "emoscope"],
        "metrics": ["recall", "accuracy"],
    }
    results = [
        {
            "task": {"type": "audio-classification", "name": "Speech emotion recognition"},
            "dataset": {"type": run.corpus, "name": f"{run.corpus}, {run.protocol}"},
            "metrics": [
                {"type": "recall", "name": "UAR", "value": round(run.uar, 4)},
                {"type": "accuracy", "name": "accuracy", "value": round(run.accuracy, 4)},
            ],
        }
        for run in card.results
        if run.corpus and run.protocol and run.uar is not None and run.accuracy is not None
    ]
    if results:
        front["model-index"] = [{"name": card.name, "results": results}]
    return front


def _config(card: Card) -> dict[str, object]:
    values = json.loads(card.to_json())
    shown = ("input", "temperature", "uncertain", "emoscope", "held_out", "optimistic")
    return {
        "model_type": "emoscope",
        "id2label": {str(n): emotion for n, emotion in enumerate(card.emotions)},
        "label2id": {emotion: n for n, emotion in enumerate(card.emotions)},
        **{key: values[key] for key in shown},
    }
