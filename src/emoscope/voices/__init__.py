"""Who speaks: embeddings of voices, groups of clips by voice, and checks of the names in a corpus."""

from .encoder import embed
from .grouping import group
from .verification import VoiceCheck, VoiceFinding, to_embed, verify

__all__ = ["VoiceCheck", "VoiceFinding", "embed", "group", "to_embed", "verify"]
