"""Decisions about mask versions, and what waits for one."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Sequence

from core.errors import StoreError
from core.remembered.flips import Flip, flips_said
from core.remembered.links import LinkChange
from core.remembered.untyped import JsonDict
from core.review import decisions as rules
from core.review import identity
from core.review.doubted_since import new_doubts
from core.types import Decision, MaskRecord
from store import judged
from store.database.connection import Row
from store.ledger import putting_right
from store.ledger.linking import link_rows
from store.ledger.stored_values import decision_of
from store.ledger.writing import Change, LedgerBase, where
from store.records.links import Links
from store.records.masks import Masks, in_words
from store.records.readings import blind_reading_is_open
from store.records.verdicts import Verdicts
from store.values import check_person, check_reason, check_text

logger = logging.getLogger("twinreview.store")


class Decisions:
    """Decisions of named people; append-only."""

    def __init__(self, ledger: LedgerBase, masks: Masks, links: Links, verdicts: Verdicts) -> None:
        self._ledger, self._masks, self._links, self._verdicts = ledger, masks, links, verdicts

    def decide(
        self,
        patient_id: str,
        timepoint: str,
        version: int,
        verdict: str,
        reviewer: str,
        reason: str,
        comment: str = "",
        lesion_id: str | None = None,
        links: Sequence[LinkChange] = (),
        flips: Sequence[Flip] = (),
        flips_told: str = "",
    ) -> Decision:
        """Accept, reject or withdraw a version, or accept or reject one lesion of it (`core.review.decisions` has the
        rule).

        The decision stays for ever, a change of mind is another one, and the last that was made counts, whatever the
        computer's clock said. mask_final points at the accepted version, if
        there is one. A rejected lesion does not enter a curve; the mask's voxels stay as they are.

        Who accepts a version confirms which lesions its labels are, and which of the patient's lesions are gone. While
        a gate doubts it, only the reason `DOUBT_ANSWERED` with a comment of the reviewer's own is taken
        (`core.review.decisions.why_doubts_stand`). What of the gates' doubts stood is kept with the acceptance or
        rejection of a whole version.

        Args:
            links: what the reviewer changes of that (`core.review.identity`); the rest is confirmed as it stands. What
                nobody could link stays so.
            flips: calls of visits that become others by it, for the audit; `core.jobs.stages.deciding` finds them.
            flips_told: how the reviewer was told of them; "" where there is none.

        Raises:
            InputError: for another verdict, no person, or no reason code.
            StoreError: if there is no such version or lesion, its status does not allow the verdict, or nothing would
                change; or if something is accepted whose file is not as stored, or for what `why_not_accept` says.
        """
        check_person(reviewer), check_reason(reason), check_text("comment", comment)
        if verdict == "accept":
            self._masks.path(
                self._masks.version(patient_id, timepoint, version)
            )  # here too, so that an altered file is recorded

        def build(at: str) -> Change:
            record = self._masks.version(patient_id, timepoint, version)
            earlier = self.of(patient_id, timepoint)
            own = [d.verdict for d in earlier if (d.mask_id, d.lesion_id) == (record.mask_id, lesion_id)]
            rules.check_decision(record, verdict, lesion_id, own[-1] if own else None, self.doubted_since(record))
            if verdict == "accept":
                self._masks.path(record)
                if why := self.why_not_accept(record, reviewer, comment, lesion_id, reason):
                    raise StoreError(why)
            if earlier and at <= earlier[-1].created_at:  # the audit orders them, so it counts; `remarks` tells of it
                last = earlier[-1].created_at
                logger.warning("a decision was made at %s, after one of %s: the clock is, or was, wrong", at, last)
            statuses, final = rules.statuses_after(record, self._masks.every(patient_id, timepoint), verdict, lesion_id)
            decision = {
                "decision_id": str(uuid.uuid4()),
                "mask_id": record.mask_id,
                "lesion_id": lesion_id,
                "verdict": verdict,
                "reviewer": reviewer,
                "reason": reason,
                "comment": comment,
                "created_at": at,
            }
            place = {"patient_id": patient_id, "timepoint": timepoint, "version": record.version}
            payload = {"decision": decision, **place, "statuses": statuses, "final_version": final}
            payload |= flips_said(flips, flips_told)
            # beside the decision, not of it: an older TwinReview writes each field of one to a column
            payload["answered"] = self._answered(record, verdict, lesion_id)
            row = self._ledger.mask_row(record.mask_id)
            if lesion_id is not None:
                own_labels = {int(x["label"]) for x in record.lesions if str(x["lesion_id"]) == lesion_id}
                payload["lesions"] = rules.lesions_after(json.loads(row["lesions"]), verdict, own_labels)
            elif verdict == "accept":
                payload["links"] = self._confirmed(row, links, reviewer)
            return Change(payload)

        made = self._ledger.write("mask.decided", reviewer, build)["payload"]
        return Decision(**made["decision"], answered=tuple(made["answered"]))

    def doubted_since(self, record: MaskRecord) -> bool:
        """Whether a gate has come to doubt an accepted version in a way that nobody has answered: it is affirmed by
        accepting it again."""
        if record.status != "accepted":
            return False
        return any(new_doubts(version) for version in judged.judged_since(self._ledger.db, record.mask_id))

    def _answered(self, record: MaskRecord, verdict: str, lesion_id: str | None) -> list[JsonDict]:
        """The doubts that a decision answers; one on a lesion, or that withdraws another one, answers none."""
        if lesion_id is not None or verdict == "withdraw":
            return []
        return rules.doubts_answered(self._verdicts.standing(record))

    def _confirmed(self, row: Row, changes: Sequence[LinkChange], reviewer: str) -> list[JsonDict]:
        """The links of a version as its reviewer confirms them, for the entry."""
        record = self._links.linked(row)
        standing = self._links.standing(row)
        after = identity.links_after(standing, changes, self._links.known_elsewhere(record))
        return link_rows(after, [int(lesion["label"]) for lesion in record.lesions], reviewer)

    def why_not_accept(
        self, record: MaskRecord, reviewer: str, comment: str = "", lesion_id: str | None = None, reason: str = ""
    ) -> str:
        """Why a version that may be decided on, or one lesion of it, is not accepted as things are; "" where it is.

        Nobody accepts while others read blind. Nothing is accepted whose lesions were told before there was more to
        tell them by, that a gate doubts or has not judged without an answer, or that has no lesion after a tumour
        without a word.

        Args:
            comment, reason: with which it would be accepted.
        """
        place, name = (record.patient_id, record.timepoint), in_words(record)
        name = f"{name[:1].upper()}{name[1:]}"
        if blind_reading_is_open(self._ledger.whole.db, *place, reviewer):
            return (
                f"{record.patient_id} on {record.timepoint} is read blind, and not every reader has said to have "
                "finished, you among them if you read there, so nobody accepts a version there. Readers say so on "
                "Compare, Readers; an adjudicator can end the blind reading there."
            )
        if lesion_id is not None:
            return ""
        if outdated := self._links.why_outdated(record.mask_id):
            return (
                f"{name} cannot be accepted yet: {outdated}. Look at its lesions on Review, or run "
                f"`python cli.py lesion propose {record.patient_id} {record.timepoint} {record.version}`."
            )
        if why := rules.why_doubts_stand(record, self._verdicts.standing(record), reason, comment):
            return why
        if record.lesions:
            return ""
        accepted = [one for one in self._masks.of(record.patient_id) if one.status == "accepted"]
        return rules.why_a_word_is_needed(record, accepted, comment)

    def of(self, patient_id: str, timepoint: str | None = None) -> list[Decision]:
        """Decisions about a patient's masks, in the order of the audit, oldest first."""
        clause, values = where(m__patient_id=patient_id, m__timepoint=timepoint)
        sql = f"SELECT d.* FROM decisions d JOIN masks m ON m.mask_id = d.mask_id{clause} ORDER BY d.seq"
        return [decision_of(row) for row in self._ledger.db.query(sql, values)]

    def to_affirm(self) -> dict[str, str]:
        """Masks that a rebuild could not prove to be accepted, and about which nobody has decided since: mask id -> why
        in words. They are proposed until a person accepts them again."""
        waiting: dict[str, tuple[int, str]] = {}
        actions = ("mask.adopted", "mask.unproven", *putting_right.MOVED, *putting_right.RESTORED)
        sql = f"SELECT seq, action, payload FROM audit WHERE action IN ({', '.join('?' * len(actions))}) ORDER BY seq"
        for row in self._ledger.db.query(sql, actions):
            payload = json.loads(row["payload"])
            if row["action"] == "mask.unproven":
                why = f"it was accepted, but {payload.get('reason', 'entries are lost')}"
                waiting |= {mask_id: (row["seq"], why) for mask_id in payload["mask_ids"]}
            elif row["action"] in putting_right.ACTIONS:
                why = "it was accepted among other masks, so its lesion numbers may mean other lesions"
                waiting |= {mask_id: (row["seq"], why) for mask_id in putting_right.unproven(payload)}
            elif payload["claimed_status"] == "accepted":
                why = "its file claims that it was accepted, but no decision is left"
                waiting[payload["mask_id"]] = (row["seq"], why)
        decided = self._ledger.db.query("SELECT mask_id, max(seq) AS seq FROM decisions GROUP BY mask_id")
        newest = {row["mask_id"]: row["seq"] for row in decided}
        known = {row["mask_id"] for row in self._ledger.db.query("SELECT mask_id FROM masks")} if waiting else set()
        return {
            mask_id: why
            for mask_id, (seq, why) in waiting.items()
            if mask_id in known and (newest.get(mask_id) or 0) < seq
        }
