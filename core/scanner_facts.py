"""What is kept of the facts that a file tells about itself: vocabulary and numbers, never free text or a stray date.

A header's text fields hold what people typed. Each is kept only where every word of it is one of the field's own words
or a short code; what does not fit is dropped, and the metadata says of which keys. `core.pipeline.import_scan` is the
one caller.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import Any

from core.errors import InputError

#: Facts of our own making, kept as they are.
_OURS = ("format", "units", "contrast", "warnings")
_NUMBERS = (
    "kvp", "slice_thickness_mm", "magnetic_field_t", "repetition_time_ms", "echo_time_ms", "inversion_time_ms",
    "flip_angle_deg", "tube_current_ma",
)  # fmt: skip
_LONGEST = 64
_WORD = re.compile(r"[A-Za-z]+|\d+")
#: A number that may be part of a name of a thing: 64, 3000, 3; not a year, nothing as long as a date.
_NUMBER = re.compile(r"(?!(?:19|20)\d\d$)\d{1,4}")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MAKERS = _words("""
    siemens healthineers healthcare health care ge hc gehc medical systems system philips canon toshiba
    hitachi fujifilm fuji united imaging uih shimadzu neusoft agfa carestream mediso bruker biospin elekta
    varian accuray viewray hologic samsung esaote neurologica cps cti pet adac marconi picker elscint
    imatron hyperfine fonar paramed synthetic corporation corp inc ltd co gmbh ag bv nv electronics
    technologies technology international
""")
_MODELS = _words("""
    somatom biograph magnetom definition sensation emotion force drive edge flash go top all up now sim
    perspective spirit volume zoom plus naeotom alpha vision quadra horizon mct mmr hirez hi rez truepoint
    aera skyra prisma fit verio avanto espree symphony trio tim vida lumina sola altea amira sempra essenza
    harmony allegra sonata terra cima free max ecat exact discovery revolution lightspeed brightspeed optima
    signa advance apex evo ct pet mr mri spect hispeed genesis excite explorer architect premier artist
    pioneer voyager creator hdxt hdx hde hdi brivo omni legend iq mi st ste rx vct gsi hd ingenuity gemini
    vereos brilliance ict iqon spectral incisive mx precedence big bore tf tof gxl achieva ingenia intera
    ambition elition panorama evolution multiva guardian allegro dstream aquilion one prime lb celesteion
    cartesion vantage titan galan orian elan excelart scenaria supria echelon airis oval oasis umr uct umi
    uexplorer neuviz nanoscan anyscan trident as x xr xt pro ultra elite advanced dual source
""")
_KERNELS = _words("""
    standard soft bone lung detail edge chest stnd boneplus boneplus2 ultra smooth sharp plus a b c d e f l
    s y ya yb yc yd ye br bl bf hr hc hk qr ur fc fl all pass xyz gauss gaussian allpass none g h i j k m n
    o p q r t u v w x z
""")
_BODY_PARTS = _words("""
    abdomen abdomenpelvis adrenal ankle aorta arm axilla back bladder body brain breast bronchus buttock
    calf carotid cspine clavicle coccyx colon chest chestabdomen chestabdpelvis chestabdomenpelvis cervix
    duodenum ear elbow esophagus extremity eye face femur finger foot gallbladder hand head headneck heart
    hip humerus iac jaw kidney knee larynx leg liver lowerleg lspine lung mandible maxilla mediastinum mouth
    neck neckchest neckchestabdomen neckchestabdpelv nose orbit ovary pancreas parotid pelvis penis pharynx
    prostate rectum rib sacrum scalp scapula shoulder sinus skull spine spleen sternum stomach testis thigh
    thorax thumb thymus thyroid tmj toe tongue trachea tspine ulna upperarm upperleg ureter urethra uterus
    vagina vulva wholebody wrist forearm bowel lowerextremity upperextremity legs arms thighs whole limb low
    upper lower spine c t and
""")
_RECONSTRUCTIONS = _words("""
    osem op fbp tof psf vpfx vpfxs q clear qclear qcfx vuepoint hd fx sharpir ramla blob os tf true x truex
    truetof ultrahd iterative fourier rebinning d filtered back projection lor rap mlem map wls attenuation
    corrected i s idt backprojection dif
""")
_TRACERS = _words("""
    fdg fluorodeoxyglucose fluoro deoxyglucose d glucose f ga c cu zr n o rb fluorine gallium carbon copper
    zirconium nitrogen oxygen rubidium dotatate dotatoc dotanoc psma flt fluorothymidine fet
    fluoroethyltyrosine choline fluorocholine naf sodium fluoride fmiso fes fluoroestradiol methionine
    acetate water ammonia fapi fdopa dopa florbetapir flutemetamol fluciclovine solution
""")
#: key -> words it may be made of; numbers may stand beside them where the second value says so
_VOCABULARY: Mapping[str, tuple[frozenset[str], bool]] = {
    "manufacturer": (_MAKERS, False),
    "model": (_MODELS, True),
    "kernel": (_KERNELS, True),
    "body_part": (_BODY_PARTS, False),
    "patient_position": (_words("hfp hfs hfdr hfdl ffdr ffdl ffp ffs lfp lfs rfp rfs afp afs pfp pfs"), False),
    "scanning_sequence": (_words("se ir gr ep rm"), False),
    "sequence_variant": (_words("sk mtc ss trss sp mp osp none"), False),
    "mr_acquisition_type": (_words("d"), True),
    "reconstruction": (_RECONSTRUCTIONS, True),
    "decay_correction": (_words("none start admin"), False),
    "tracer": (_TRACERS, True),
    "stored_units": (_words("bqml gml cnts none"), False),
}


def date_mode() -> str:
    """TWIN_DATES: "keep" (the default) or "shift"; raises InputError for anything else."""
    mode = os.environ.get("TWIN_DATES", "keep")
    if mode not in ("keep", "shift"):
        raise InputError(f"Expected TWIN_DATES as keep or shift, got {mode[:40]!r}. Correct the setting.")
    return mode


def kept_facts(found: Mapping[str, Any], timepoint: str) -> dict[str, Any]:
    """The metadata of a scan that is stored.

    Args:
        found: what `core.volumes.open_scan` says.
        timepoint: the date that the person gave, YYYY-MM-DD.

    Returns:
        The facts that fit their key. "study_date" only where it is `timepoint` and dates are kept; where it is another
        and dates are kept, "warnings" says that they differ, without the date. "not_kept" names the keys that were
        dropped, where there are any.
    """
    kept: dict[str, Any] = {key: found[key] for key in _OURS if key in found}
    dropped = []
    for key, value in found.items():
        if key in _OURS or key == "study_date":
            continue
        fits = _is_number(value) if key in _NUMBERS else key in _VOCABULARY and _fits(value, *_VOCABULARY[key])
        if fits:
            kept[key] = value
        else:
            dropped.append(key if re.fullmatch(r"[a-z_]{1,40}", key) else "other")
    if date_mode() == "keep" and "study_date" in found:
        if found["study_date"] == timepoint:
            kept["study_date"] = timepoint
        else:
            kept["warnings"] = [
                *kept.get("warnings", []),
                "The date in the file is not the date given for the scan. The one given is used, the file's is not "
                "kept; check that it is the right one.",
            ]
    return {**kept, **({"not_kept": sorted(set(dropped))} if dropped else {})}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _fits(value: Any, words: frozenset[str], numbers: bool) -> bool:
    """True if the text is made of `words` alone and, with `numbers`, of short numbers beside them."""
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isascii() or not value.isprintable():
        return False
    parts = _WORD.findall(value)
    named = [part for part in parts if part.isalpha()]
    whole = "".join(named).lower()  # "NECK_CHEST", "Chest/Abd"
    known = whole in words or all(part.lower() in words for part in named)
    counted = [part for part in parts if part.isdigit()]
    return bool(named) and known and all(numbers and _NUMBER.fullmatch(part) for part in counted) and len(parts) <= 12
