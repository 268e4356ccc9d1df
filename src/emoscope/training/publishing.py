"""A trained model for others: an ONNX file that explains itself, and a Hugging Face repository.

The model card (https://huggingface.co/docs/hub/model-cards) is made from the card of the file alone.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from .. import modelfile
from ..checking import Checked
from ..checking import page as checking_page
from ..files import write_atomically
from ..modelfile import GRAPH, ModelFile, safety
from ..modelfile.card import Card
from ..models.onnx_graph import need
from ..report import page
from ..unseen import OPTIMISTIC, WORDS

#: As the hub has them but for case and spaces; the strictest first.
LICENCES = ("CC BY-NC-SA 4.0", "CC BY-NC 4.0", "CC BY-SA 4.0", "CC BY 4.0", "CC0 1.0")


def metadata(card: Card) -> dict[str, str]:
    """What the ONNX file says of itself, by key."""
    values = json.loads(card.to_json())
    as_they_are = ("emoscope", "name", "emotions", "temperature", "input", "held_out", "optimistic")
    told = {key: values[key] for key in (*as_they_are, "licence")}
    told["training"] = [
        {key: corpus[key] for key in ("name", "n_clips", "licence") if key in corpus}
        for corpus in values["training"]["corpora"]
    ]
    told |= {"signature": _signature(card), "meaning": card.about.meaning}
    told["notices"] = "\n\n".join(card.notices)
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in told.items()}


def to_onnx(model: ModelFile, path: str | Path) -> Path:
    """Write the graph of a model with its metadata as an ``.onnx`` file."""
    graph = onnx_graph(model)
    need("onnx").helper.set_model_props(graph, metadata(model.card))
    write_atomically(path, graph.SerializeToString())
    return Path(path)


def onnx_graph(model: ModelFile) -> Any:
    """The graph of a ``.emoscope`` file as an ``onnx.ModelProto``."""
    onnx = need("onnx")
    with zipfile.ZipFile(io.BytesIO(modelfile.read(model.path))) as archive:
        return onnx.load_from_string(safety.check(archive.read(GRAPH)))


def to_hub(model: ModelFile, folder: str | Path, checked: Checked | None = None) -> Path:
    """Write a repository as the Hugging Face hub lays it out, with the badge of a check."""
    name, graph, config, about, badge = hub_files(model, folder)
    write_atomically(name, modelfile.read(model.path))
    to_onnx(model, graph)
    values = json.loads(model.card.to_json())
    shown = ("input", "temperature", "uncertain", "emoscope", "held_out", "optimistic")
    labels = {str(n): emotion for n, emotion in enumerate(model.card.emotions)}
    told = {
        "model_type": "emoscope",
        "id2label": labels,
        "label2id": {emotion: int(n) for n, emotion in labels.items()},
        **{key: values[key] for key in shown},
    }
    write_atomically(config, json.dumps(told, indent=1) + "\n")
    if checked is not None:
        write_atomically(badge, checking_page.badge(checked))
    write_atomically(about, model_card(model.card, name.name, checked))
    return Path(folder)


def hub_files(model: ModelFile, folder: str | Path) -> list[Path]:
    """The files of a repository: model, graph, configuration, description, badge."""
    own = f"{model.card.name}{modelfile.SUFFIX}"
    names = (own, "model.onnx", "config.json", "README.md", "badge.svg")
    return [Path(folder, name) for name in names]


def model_card(card: Card, file_name: str, checked: Checked | None = None) -> str:
    """The card of a model as Markdown with the hub's metadata in front."""
    known = [words.lower().replace(" ", "-") for words in LICENCES if words in card.licence]
    return page.template("model_card.md.j2").render(
        card=card, file_name=file_name, signature=_signature(card), held_out=WORDS[card.held_out],
        licence=known[0] if known else "other", optimistic=OPTIMISTIC,
        badge=checking_page.badge_text(checked) if checked else "",
    )  # fmt: skip


def _signature(card: Card) -> str:
    return page.template("signature.txt.j2").render(card=card)
