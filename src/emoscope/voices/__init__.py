"""Who speaks: embeddings of voices, and checks of the names in a corpus."""

from .encoder import embed
from .verification import VoiceCheck, VoiceFinding, to_embed, verify

__all__ = ["VoiceCheck", "VoiceFinding", "embed", "to_embed", "verify"]
