"""Which kind of treatment a drug is, by the names and short names that people write.

Classes follow the WHO's Anatomical Therapeutic Chemical groups (L01A-D and L01X cytotoxic, L01E and L01F targeted, of
the latter L01FF and L01FX04 checkpoint inhibitors, L02 hormones). The table is of drugs in use, and not complete: a
name that it has not is of no known class, which is never "none of them".

Source: ATC/DDD Index, WHO Collaborating Centre for Drug Statistics Methodology.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

CHECKPOINT_INHIBITORS = (
    "atezolizumab",
    "avelumab",
    "cemiplimab",
    "dostarlimab",
    "durvalumab",
    "ipilimumab",
    "nivolumab",
    "pembrolizumab",
    "relatlimab",
    "retifanlimab",
    "tislelizumab",
    "toripalimab",
    "tremelimumab",
)
CHEMOTHERAPY, TARGETED, IMMUNOTHERAPY, HORMONES = (
    "chemotherapy",
    "targeted therapy",
    "immunotherapy",
    "hormone therapy",
)
_WORDS: Mapping[str, str] = {
    CHEMOTHERAPY: r"chemo\w*|actinomycin\w*|bendamustine|bleomycin|busulfan|capecitabine|carboplatin|carmustine|"
    r"chlorambucil|cisplatin|cladribine|cyclophosphamide|cytarabine|dacarbazine|dactinomycin|daunorubicin|docetaxel|"
    r"(?:pegylated )?(?:liposomal )?doxorubicin|adriamycin|epirubicin|eribulin|etoposide|fludarabine|5-?fu|"
    r"fluorouracil|gemcitabine|idarubicin|ifosfamide|irinotecan|ixabepilone|lomustine|melphalan|mercaptopurine|"
    r"methotrexate|mitomycin|mitoxantrone|(?:nab-?)?paclitaxel|oxaliplatin|pemetrexed|procarbazine|temozolomide|"
    r"topotecan|trabectedin|trifluridine|vinblastine|vincristine|vinorelbine|"
    r"folfox|folfiri|folfirinox|r-chop|(?-i:CHOP|ABVD|AIM|VAC|VDC|MAPI?|PCV|TAC|FEC)",  # in small letters: words
    TARGETED: r"\w+(?:tinib|rafenib|metinib|ciclib|parib|lisib)|bevacizumab|cetuximab|everolimus|olaratumab|pazopanib|"
    r"panitumumab|pertuzumab|ramucirumab|rituximab|temsirolimus|trastuzumab(?: \w+)?|tazemetostat|bortezomib",
    IMMUNOTHERAPY: "|".join(CHECKPOINT_INHIBITORS) + r"|immunotherapy|interleukin\w*|interferon\w*|aldesleukin",
    HORMONES: r"abiraterone|anastrozole|apalutamide|bicalutamide|darolutamide|degarelix|enzalutamide|exemestane|"
    r"fulvestrant|goserelin|letrozole|leuprorelin|leuprolide|tamoxifen|triptorelin|octreotide|lanreotide",
}
_CLASSES = {name: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for name, words in _WORDS.items()}


def drug_classes(words: str) -> tuple[str, ...]:
    """The classes of the drugs named in some words, each once; () where none is recognised.

    >>> drug_classes("doxorubicin and pembrolizumab")
    ('chemotherapy', 'immunotherapy')
    """
    return tuple(name for name, pattern in _CLASSES.items() if pattern.search(words))
