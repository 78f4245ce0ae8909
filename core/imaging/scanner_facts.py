"""What is kept of the facts that a file tells about itself: vocabulary and numbers, never free text or a stray date.

A header's text fields hold what people typed. Each is kept only where every word of it is one of the field's own words
or a short code; what does not fit is dropped, and the metadata says of which keys. `core.jobs.pipeline.import_scan` is
the one caller.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from core.settings import settings

#: Facts of our own making, kept as they are.
_OURS = ("format", "units", "contrast", "warnings", "file_orientation")
#: key -> the most that it can be, from 0: more than any scanner does, and less than a date read as a number.
_NUMBERS: Mapping[str, float] = {
    "kvp": 500.0,
    "slice_thickness_mm": 100.0,
    "magnetic_field_t": 25.0,
    "repetition_time_ms": 20_000.0,
    "echo_time_ms": 1500.0,
    "inversion_time_ms": 10_000.0,
    "flip_angle_deg": 360.0,
    "tube_current_ma": 1500.0,
    "suv_factor": 1000.0,
    "suv_factor_highest": 1000.0,
    "lean_mass_ratio": 1.0,
    "surface_ratio": 10.0,
    "weight_kg": 300.0,
    "injected_mbq": 10_000.0,
    "uptake_h": 1500.0,
}
#: Characters of a text; none is longer that is a scanner's.
LONGEST = 64
_WORD = re.compile(r"[A-Za-z]+|\d+")
#: 02.09.01, 2/9/01, "1 9 5 4": numbers with nothing but separators between are how dates are written.
_ADJACENT = re.compile(r"\d[\W_]+\d")
#: More numbers, or more words of one letter, spell a date or a name.
_MOST_NUMBERS, _MOST_LETTERS = 2, 2


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
#: key -> words it may be made of, and the numbers that may stand beside them: a scanner's 64, 710 or 3000; a kernel's
#: 30; a reconstruction's 21 or 350; a tracer's isotope
_VOCABULARY: Mapping[str, tuple[frozenset[str], str]] = {
    "manufacturer": (_MAKERS, ""),
    "model": (_MODELS, r"[1-9]\d{0,2}|(?!19|20)[1-9]\d00"),
    "kernel": (_KERNELS, r"\d{1,2}"),
    "body_part": (_BODY_PARTS, ""),
    "patient_position": (_words("hfp hfs hfdr hfdl ffdr ffdl ffp ffs lfp lfs rfp rfs afp afs pfp pfs"), ""),
    "scanning_sequence": (_words("se ir gr ep rm"), ""),
    "sequence_variant": (_words("sk mtc ss trss sp mp osp none"), ""),
    "mr_acquisition_type": (_words("d"), r"[123]"),
    "reconstruction": (_RECONSTRUCTIONS, r"\d{1,3}"),
    "decay_correction": (_words("none start admin"), ""),
    "tracer": (_TRACERS, r"2|11|13|15|18|62|64|68|82|86|89"),
    "stored_units": (_words("bqml gml cnts none"), ""),
}
#: key -> numbers that belong to a word (group 1), and are not counted: "XYZ Gauss5.00", "OSEM3D 4i8s", "PSMA-1007"
_COMPOUNDS: Mapping[str, re.Pattern[str]] = {
    "kernel": re.compile(r"(gauss|gaussian) ?\d\.\d{1,2}(?![\d\W_]*\d)", re.IGNORECASE),
    "reconstruction": re.compile(r"()(?:(?<!\d)[23]D(?![A-Z])|(?<![A-Z\d])\d{1,2}i\d{1,2}s(?![A-Z\d]))", re.IGNORECASE),
    "tracer": re.compile(r"(psma)[ -]?(?:11|617|1007)(?![\d\W_]*\d)", re.IGNORECASE),
}


def date_mode() -> str:
    """TWIN_DATES: "keep" (the default) or "shift"; raises InputError for anything else."""
    return settings().dates


def permitted_facts(facts: Mapping[str, Any], timepoint: str) -> dict[str, Any]:
    """The metadata of a scan that is stored.

    Args:
        facts: what `core.imaging.open_scan.open_scan` says.
        timepoint: the date that the person gave, YYYY-MM-DD.

    Returns:
        The facts that fit their key. "study_date" only where it is `timepoint` and dates are kept; where it is another
        and dates are kept, "warnings" says that they differ, without the date. "not_kept" names the keys that were
        dropped, where there are any.
    """
    permitted: dict[str, Any] = {key: facts[key] for key in _OURS if key in facts}
    dropped = []
    for key, value in facts.items():
        if key in _OURS or key == "study_date":
            continue
        if _is_number(key, value) if key in _NUMBERS else _is_text(key, value):
            permitted[key] = value
        else:
            dropped.append(key if re.fullmatch(r"[a-z_]{1,40}", key) else "other")
    if date_mode() == "keep" and "study_date" in facts:
        if facts["study_date"] == timepoint:
            permitted["study_date"] = timepoint
        else:
            permitted["warnings"] = [
                *permitted.get("warnings", []),
                "The date in the file is not the date given for the scan. The one given is used, the file's is not "
                "kept; check that it is the right one.",
            ]
    return {**permitted, **({"not_kept": sorted(set(dropped))} if dropped else {})}


def suv_in_words(facts: Mapping[str, Any]) -> str:
    """What a PET's SUV were made with, of its metadata; "" for other scans, and where nothing was kept."""
    if facts.get("suv_factor") is None:
        return ""
    parts = [f"SUV = stored value x {facts['suv_factor']:.4g}"]
    if facts.get("suv_factor_highest") is not None:
        parts[0] += f" to {facts['suv_factor_highest']:.4g}, slice by slice"
    for key, text in (
        ("weight_kg", "{:g} kg"),
        ("injected_mbq", "{:.4g} MBq injected"),
        ("uptake_h", "{:.2f} h before the scan"),
        ("lean_mass_ratio", "by lean mass (SUL): SUV x {:.3f}"),
        ("surface_ratio", "by body surface: SUV x {:.3f} cm2/g"),
    ):
        if facts.get(key) is not None:
            parts.append(text.format(facts[key]))
    return ", ".join(parts)


def _is_number(key: str, value: Any) -> bool:
    real = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return real and 0 <= value <= _NUMBERS[key]


def _is_text(key: str, value: Any) -> bool:
    """True if the text is made of its key's own words alone and of a few short numbers that these words have."""
    if key not in _VOCABULARY or not isinstance(value, str) or len(value) > LONGEST:
        return False
    text = _COMPOUNDS[key].sub(r"\1 ", value) if key in _COMPOUNDS else value
    if not value.isascii() or not value.isprintable() or _ADJACENT.search(text):
        return False
    vocabulary, number = _VOCABULARY[key]
    parts = _WORD.findall(text)
    named = [part for part in parts if part.isalpha()]
    whole = "".join(named).lower()  # "NECK_CHEST", "Chest/Abd"
    known = whole in vocabulary or all(part.lower() in vocabulary for part in named)
    counted = [part for part in parts if part.isdigit()]
    few = len(counted) <= _MOST_NUMBERS and sum(len(part) == 1 for part in named) <= _MOST_LETTERS
    return bool(named) and known and few and all(re.fullmatch(number, part) for part in counted) and len(parts) <= 12
