"""TESS: "Say the word …" with 200 words in seven emotions by two actresses, 2800 clips.

``OAF_back_angry`` is the older woman, the word and the emotion; ``OA_bite_neutral`` lacks a letter. With
two speakers no speaker-independent figure deserves an interval.
"""

from .base import CorpusInfo, Naming, Row, words

LABEL_MAP = words("angry disgust fear happy neutral ps sad")

AGES = {"OAF": 64, "YAF": 26}  # in years, of the older and the younger adult female
SPEAKERS = {"oaf": "OAF", "oa": "OAF", "yaf": "YAF"}

WORDS = """
    back bar base bath bean beg bite boat bone book bought burn cab calm came cause chain chair
    chalk chat check cheek chief choice cool dab date dead death deep dime dip ditch dodge dog
    doll door fail fall far fat fit five food gap gas gaze germ get gin goal good goose gun half
    hall hash hate have haze hire hit hole home hurl hush jail jar join judge jug juice keen keep
    keg kick kill king kite knock late laud lean learn lease lid life limb live loaf long lore
    lose lot love luck make match merge mess met mill mob mode mood moon mop mouse nag name near
    neat nice note numb pad page pain pass pearl peg perch phone pick pike pole pool puff rag raid
    rain raise rat reach read red ring ripe road room rose rot rough rush said sail search seize
    sell shack shall shawl sheep shirt should shout size soap soup sour south sub such sure take
    talk tape team tell thin third thought thumb time tip tire ton tool tough turn vine voice void
    vote wag walk wash week wheat when which whip white wife wire witch yearn yes young youth
"""

FORM = r"(?P<speaker>OA|[A-Z]AF)_(?P<statement>[a-z]+)_(?P<label>[a-z]+)"
FACTS = {"speaker": SPEAKERS, "statement": WORDS.split(), "label": LABEL_MAP}


def _tell(fields: Row) -> Row:
    speaker, word = SPEAKERS[fields["speaker"]], fields["statement"]
    return {
        "clip": f"{speaker}_{word}_{fields['label']}",
        "gender": "female",
        "age": AGES[speaker],
        "text": f"Say the word {word}",
    }


TESS = CorpusInfo(
    name="tess",
    title="Toronto Emotional Speech Set",
    licence="CC BY-NC 4.0",
    citation=(
        "Pichora-Fuller MK, Dupuis K (2020). Toronto emotional speech set (TESS). Borealis, V1. "
        "https://doi.org/10.5683/SP2/E8H2MF"
    ),
    homepage="https://doi.org/10.5683/SP2/E8H2MF",
    label_map=LABEL_MAP,
    parse=Naming(FORM, FACTS, _tell, any_case=True),
    file_names="speaker, word and emotion",
    example="OAF_angry/OAF_back_angry.wav",
    obtain="download it by hand from https://doi.org/10.5683/SP2/E8H2MF",
)

MEMBERS = {"tess": TESS}
