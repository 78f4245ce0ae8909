"""What is kept of the words of a mask's file: names of segments, tools and labels that name no person.

People type what they like into these fields. A text is kept where every word of it is one of the field's own words, a
short code or a short number; else nothing of it is, and a warning counts what was left out.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SEGMENTS = _words("""
    gtv ctv ptv itv btv mtv roi voi tumor tumors tumour tumours lesion lesions mass nodule nodules nodal node nodes
    lymph metastasis metastases met mets primary secondary target targets index cancer carcinoma sarcoma glioma
    glioblastoma lymphoma melanoma cyst necrosis necrotic edema oedema enhancing enhancement core whole solid cystic
    recurrence residual cavity resection bed boost margin inner outer shell ring core ablation zone viable uptake
    hot spot suv segment segmentation segmentations label labels mask masks contour contours structure structures set
    rtstruct rtss seg background foreground left right l r upper lower lobe superior inferior anterior posterior medial
    lateral central peripheral apex base total all other unknown new old baseline followup follow up pre post final
    draft auto manual edited reviewed copy ct pet mr mri fdg t t1 t1c t2 flair adc dwi gd flirt
    lung lungs liver kidney kidneys spleen pancreas stomach bowel colon rectum esophagus oesophagus duodenum gallbladder
    bladder prostate uterus cervix ovary breast heart aorta trachea bronchus mediastinum pleura chest wall rib ribs
    sternum spine spinal cord canal vertebra vertebrae bone bones pelvis femur femoral head neck brain brainstem stem
    cerebellum hippocampus chiasm optic nerve eye eyes lens orbit cochlea parotid parotids submandibular gland glands
    larynx pharynx oral cavity mandible tongue thyroid thigh leg arm shoulder knee hip foot hand muscle muscles fat skin
    soft tissue adrenal artery vein portal venous vessel vessels body external outline couch table bolus support
    organ avoidance of the in and with at from to for on no not none
""")
_TOOLS = _words("""
    mim software inc slicer itk snap itksnap mitk nnunet unet totalsegmentator total segmentator monai label highdicom
    dcmqi pydicom rt utils rtutils plastimatch pyradise varian medical systems eclipse aria raystation raysearch
    laboratories pinnacle philips elekta monaco xio cms focal brainlab iplan elements velocity mirada limbus contour
    artiplan siemens healthineers healthcare ge syngo via intellispace portal osirix horos pixmeo ohif viewer mint
    lesion tera recon terarecon aquarius aw volumeshare server vitrea canon hermes affinity xeleris amide lifex pmod
    simpleitk itk vtk medsam sam segment anything twinreview dicom rtstruct seg qiicr python ag gmbh ltd co corporation
    corp medical imaging the and of d cerr matrad plan brachyvision accuray precision tomotherapy oncentra
    ai radformation autocontour mvision therapanacea art limbusai manteia accucontour mirrada workflow box qurit
""")
_ALGORITHMS = _words("manual semiautomatic automatic ") | _TOOLS | _SEGMENTS
_PART = re.compile(r"[A-Za-z]+|\d+")
#: A longer number may be somebody's, and so may several beside one another: a date.
_MOST_DIGITS, _MOST_NUMBERS, _LONGEST = 3, 3, 64
#: 02.09.01, 2/9/01: how dates are written; 3.6.12 is a version, which a tool has and nobody else.
_DATE = re.compile(r"\d+[\W_]+\d+[\W_]+\d+")


def harmless_name(text: object) -> str:
    """The name of a segment, or a mask's label, where it names no person; else ""."""
    return _kept(text, _SEGMENTS)


def harmless_tool(*texts: object) -> str:
    """Maker and product of a tool, those parts that name no person, with a blank between."""
    return " ".join(part for part in (_kept(text, _TOOLS, versions=True) for text in texts) if part)


def harmless_algorithm(*texts: object) -> str:
    """Kind and name of an algorithm, as `harmless_tool`."""
    return " ".join(part for part in (_kept(text, _ALGORITHMS, versions=True) for text in texts) if part)


def _kept(text: object, vocabulary: frozenset[str], versions: bool = False) -> str:
    said = " ".join(str(text or "").split())
    parts = _PART.findall(said)
    letters = [part.lower() for part in parts if part.isalpha()]
    numbers = [part for part in parts if part.isdigit()]
    if not parts or len(said) > _LONGEST or not said.isascii() or not said.isprintable():
        return ""
    if not all(part in vocabulary or len(part) == 1 for part in letters) or sum(len(p) == 1 for p in letters) > 2:
        return ""
    if len(numbers) > _MOST_NUMBERS or any(len(number) > _MOST_DIGITS for number in numbers):
        return ""
    if _DATE.search(said) and not (versions and letters):
        return ""
    return said
