"""EmoSpeech: commands of one word, English or Hindi, by 105 speakers on their own phones, 2021 clips.

A name is the word, the situation, the emotion, a time in milliseconds and the speaker. The recordings
are of homes, streets and trains; what it calls calm is neutral at best.
"""

from .base import CorpusInfo, Naming, words

LABEL_MAP = words("angry calm fearful happy")

FORM = (
    r"(?P<statement>[a-z]+)-(?:safe|scream)-(?P<label>[a-z]+)"
    r"-(?:[0-9]+|\?\?)-(?P<speaker>[0-9a-f]{8,64})"
)
FACTS = {
    "statement": ("bacho", "go", "help", "no", "stop", "unknown", "yes"),
    "label": LABEL_MAP,
}

MEMBERS = {
    "emospeech": CorpusInfo(
        name="emospeech",
        title="Indian EmoSpeech Command Dataset",
        licence="CC BY-NC-SA 4.0",
        citation="Banga S et al. (2019), arXiv 1910.13801. https://arxiv.org/abs/1910.13801",
        homepage="https://github.com/RakshakTeam/emospeech-dataset-v1",
        label_map=LABEL_MAP,
        parse=Naming(FORM, FACTS),
        file_names="word, situation, emotion, time and speaker",
        example="webservice/stop-safe-angry-1562996360436-c7b431195e2871a0c0b0825234c1e22b.opus",
    )
}
