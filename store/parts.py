"""The parts of the store, one for every kind of thing that is remembered, over one ledger."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from store.files import mask_files
from store.files.drafts import Drafts
from store.files.file_checks import StoredFiles
from store.ledger.base import LedgerBase
from store.records.corrections import Corrections
from store.records.decisions import Decisions
from store.records.events import Events
from store.records.forecasts import Forecasts
from store.records.jobs import Jobs
from store.records.links import Links
from store.records.looks import Looks
from store.records.marks import EvidenceQuestions, Marks
from store.records.mask_losses import Losses
from store.records.masks import Masks
from store.records.measurements import Measurements
from store.records.models import Models, ReferenceSets
from store.records.patients import Patients
from store.records.people import People
from store.records.protocols import Protocols
from store.records.readings import Readings
from store.records.scans import Scans
from store.records.studies import Studies
from store.records.transforms import Transforms
from store.records.vectors import Vectors
from store.records.verdicts import Verdicts
from store.views import Views


class Parts:
    """What `Store` and `SeenStore` have in common: the same parts, over the whole ledger or over a person's."""

    def __init__(self, ledger: LedgerBase, files: StoredFiles) -> None:
        self.root: Path = ledger.root
        self.files = files
        self.people = People(ledger)
        self.patients = Patients(ledger)
        self.scans = Scans(ledger, files)
        self.links = Links(ledger)
        self.transforms = Transforms(ledger)
        self.masks = Masks(ledger, files, self.scans, self.links)
        self.studies = Studies(ledger, self.scans, self.masks)
        self.losses = Losses(ledger, self.masks)
        self.verdicts = Verdicts(ledger, self.scans, self.links)
        self.decisions = Decisions(ledger, self.masks, self.links, self.verdicts)
        self.readings = Readings(ledger, self.scans)
        self.vectors = Vectors(ledger, self.masks, self.links)
        self.looks = Looks(ledger, self.masks, self.links)
        self.marks = Marks(ledger, self.links)
        self.evidence_questions = EvidenceQuestions(ledger, self.links)
        self.events = Events(ledger)
        self.protocols = Protocols(ledger)
        self.measurements = Measurements(ledger)
        self.forecasts = Forecasts(ledger)
        self.models = Models(ledger)
        self.reference_sets = ReferenceSets(ledger)
        self.jobs = Jobs(ledger)
        self.drafts = Drafts(ledger, self.scans, self.masks)
        self.corrections = Corrections(ledger, self.drafts, self.readings)
        records = (self.links, self.transforms, self.measurements, self.protocols)
        self.views = Views(ledger, self.masks, self.readings, *records)

    def scratch(self) -> AbstractContextManager[Path]:
        """A fresh folder of the store's own for files on their way in; gone afterwards, and swept after a kill."""
        return mask_files.staging(self.root)
