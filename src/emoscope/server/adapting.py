"""Models adapted to the labels that a client corrected, and sends with the recordings."""

import base64
import contextlib
import itertools
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fastapi import UploadFile

from ..errors import EmoscopeError
from ..files import printable, sentence
from ..modelfile import ModelFile
from ..modelfile.card import JsonObject
from .limits import Job
from .progress import Tell
from .work import path_of


def adapted(
    sent: UploadFile, job: Job, *,
    files: Sequence[UploadFile], model: ModelFile, seconds: float, tell: Tell | None,
) -> JsonObject:  # fmt: skip
    """Adapt a model to a table of corrections, which end within so many seconds of a recording."""
    from .. import corpus  # with training, a second and 70 MB that most servers never need
    from ..corpus import tables
    from ..training import adapting

    names = [printable(file.filename or "") for file in files]
    if len({*names, "corrections.csv"}) <= len(names) or not all(map(_is_name, names)):
        raise EmoscopeError("files: give each recording a name of its own, without folders")
    heard = itertools.count(1)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        table, out = Path(folder, "corrections.csv"), Path(folder, "corrections.emoscope")
        table.write_bytes(sent.file.read())
        for upload, name in zip(files, names, strict=True):
            place = stack.enter_context(path_of(upload, job))
            link = os.symlink if place.startswith("/proc/") else os.link
            link(place, os.path.join(folder, name))
        try:
            # Nothing else on this machine can be read.
            if others := {str(row.get("file")) for row in tables.read(table)} - set(names):
                raise EmoscopeError(f"corrections: the file '{min(others)}' was not sent")
            clips = corpus.load(table)
            if max(part.end or math.inf for part in clips.excerpts) > seconds:
                raise EmoscopeError(sentence("corrections_too_long", limit=seconds))

            def tick() -> None:
                job.check()
                if tell:
                    tell({"fraction": next(heard) / len(clips)})

            card, used = adapting.adapt(model, clips, out, jobs=1, tick=tick)
        except EmoscopeError as error:
            raise EmoscopeError(str(error).replace(f"{folder}{os.sep}", "")) from None
        content = out.read_bytes()
    told = [str(text).replace(f"{folder}{os.sep}", "") for text in (*used.notes, *used.rejected)]
    file = base64.b64encode(content).decode()
    return {"card": card.shown(card.name, len(content)), "errors": told, "file": file}


def _is_name(text: str) -> bool:
    """Whether a file in a folder can be called so."""
    return os.path.basename(text) == text and 0 < len(text.strip(".").encode()) < 250
