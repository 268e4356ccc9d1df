"""What scores were measured on, and confidence calibrated on, in words that claim what is known."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from .files import shipped_table

#: What was held out: whole corpora, speakers, speakers guessed from names, voices grouped by their
#: sound, or just clips, whose voices may be in training too.
HeldOut: TypeAlias = Literal["corpora", "speakers", "guessed-speakers", "voices", "clips"]

_SAID = shipped_table("protocols.toml")
WORDS: Mapping[HeldOut, str] = _SAID["held_out"]
OPTIMISTIC: str = _SAID["optimistic"]


def held_out(kind: str, doubt: str = "", protocol: str = "") -> HeldOut:
    """What was held out, by the `kind` and `doubt` of :class:`emoscope.corpus.SpeakerOrigin`."""
    if protocol.startswith("voice-"):
        return "voices"
    if protocol.startswith("random-") or doubt or kind in ("none", "one"):
        return "clips"
    return "guessed-speakers" if kind == "guess" else "speakers"


def of_record(corpus: Mapping[str, Any], protocol: str) -> HeldOut:
    """What a result held out, by what it records of its corpus; older ones record no origin."""
    speakers = speakers_of(corpus)
    return held_out(str(speakers["kind"]), str(speakers.get("doubt") or ""), protocol)


def units_of(corpus: Mapping[str, Any]) -> tuple[str, str]:
    """What the speakers of a result's rows are, one and several: by voice where none is known."""
    is_known = corpus.get("n_speakers", 1)
    return ("speaker", "speakers") if is_known else ("group by voice", "groups by voice")


def speakers_of(corpus: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a result records of its speakers; of an older one, that they were given."""
    speakers = corpus.get("speakers")
    if isinstance(speakers, Mapping) and "kind" in speakers:
        return speakers
    return {"kind": "column"}
