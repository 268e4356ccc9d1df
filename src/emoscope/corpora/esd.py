"""What a name in ESD tells that its fields do not: the sentence, and a name unlike any other's."""

from .base import Row


def tell(fields: Row) -> Row:
    """A speaker's clips are numbered 1 to 1750, 350 of each emotion in one order of sentences."""
    language = "zh" if fields["speaker"] <= "0010" else "en"
    sentence = f"{language}-{(int(fields['number']) - 1) % 350 + 1:03}"
    return {"clip": "{speaker}_{number}_{label}".format_map(fields), "text": sentence}
