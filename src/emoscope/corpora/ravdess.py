"""RAVDESS: the Ryerson Audio-Visual Database of Emotional Speech and Song.

Twenty-four professional actors from Toronto, twelve women and twelve men, speak and sing two
short English sentences in eight emotions (song: six), each at two intensities and twice. Recorded
at Ryerson University in a studio at 48 kHz. The audio-only speech half has 1440 clips, the song
half 1012 (actor 18 has no song).

A file name is seven two-digit numbers: modality, channel, emotion, intensity, statement,
repetition, actor; for example ``03-01-06-01-02-01-12.wav`` is audio only, speech, fearful, normal,
"Dogs are sitting by the door", first repetition, actor 12. Odd actors are men, even ones women.
Neutral has no strong intensity.

Quirks of the original: five speech clips are stereo with identical channels, and actor 7's two
repetitions of happy, normal, "Dogs are sitting by the door" are the same recording
(:mod:`emoscope.audit` finds them).
"""

from __future__ import annotations

from functools import partial

from .base import CorpusInfo, Download, Row, by_stem

MODALITIES = {"01": "audio-video", "03": "audio"}  # 02 is video without sound
CHANNELS = {"01": "speech", "02": "song"}

LABEL_MAP = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}

INTENSITIES = {"01": "normal", "02": "strong"}
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}

NAME = (
    r"(?P<modality>0[13])-(?P<channel>0[12])-(?!01-02)(?P<emotion>0[1-8])-(?P<intensity>0[12])"
    r"-(?P<statement>0[12])-(?P<repetition>0[12])-(?P<actor>0[1-9]|1[0-9]|2[0-4])"
)


def _tell(fields: Row) -> Row:
    return {
        "label": fields["emotion"],
        "speaker": fields["actor"],
        "gender": "female" if int(fields["actor"]) % 2 == 0 else "male",
        "text": STATEMENTS[fields["statement"]],
        "intensity": INTENSITIES[fields["intensity"]],
        "statement": fields["statement"],
        "repetition": int(fields["repetition"]),
        "channel": CHANNELS[fields["channel"]],
        "modality": MODALITIES[fields["modality"]],
    }


_ZIP = "https://zenodo.org/records/1188976/files/Audio_{}_Actors_01-24.zip"

RAVDESS = CorpusInfo(
    name="ravdess",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song",
    licence="CC BY-NC-SA 4.0",
    citation=(
        "Livingstone SR, Russo FA (2018). The Ryerson Audio-Visual Database of Emotional Speech "
        "and Song (RAVDESS): A dynamic, multimodal set of facial and vocal expressions in North "
        "American English. PLOS ONE 13(5): e0196391. https://doi.org/10.1371/journal.pone.0196391"
    ),
    homepage="https://zenodo.org/records/1188976",
    label_map=LABEL_MAP,
    parse=partial(by_stem, NAME, _tell),
    file_names="seven two-digit numbers",
    example="Actor_12/03-01-06-01-02-01-12.wav",
    downloads=(
        Download(_ZIP.format("Speech"), 208_468_073, "bc696df654c87fed845eb13823edef8a", "speech"),
        Download(_ZIP.format("Song"), 225_505_317, "5411230427d67a21e18aa4d466e6d1b9", "song"),
    ),
)

MEMBERS = {"ravdess": RAVDESS}
