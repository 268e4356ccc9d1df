"""Who speaks: embeddings of voices, groups of clips by voice, and checks of the names in a corpus."""

from .encoder import embed

__all__ = ["embed"]
