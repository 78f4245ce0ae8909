"""TwinReview from the command line: everything the pages do, for cohorts and scripts.

Exit status 0, or 1 with one clear line on stderr (2 for a command line that makes no sense, 130 when stopped from the
keyboard, 141 when the reader of the answer went away, as `| head` does). `--json` prints one JSON document on stdout,
or {"error": "that line"} when a verb fails; progress goes to stderr.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from core.access import ROLES
from core.errors import InputError, TwinReviewError
from core.settings import set_default, settings, unknown_variables
from core.types import no_progress
from store.files.file_rights import keep_private

#: The first person of a store that knows nobody.
FIRST_PERSON = "demo"
#: Whose view a reading verb gives without a name: what everybody may see. No person can have this name.
NOBODY = "(nobody named)"
#: Exit status when the reader of the answer went away: what a shell gives a program that SIGPIPE ended.
READER_GONE = 141


def _progress(arguments: argparse.Namespace) -> Callable[[float, str], None]:
    if arguments.quiet or not sys.stderr.isatty():
        return no_progress

    def show(fraction: float, message: str) -> None:
        print(f"\r{fraction:5.0%}  {message:<60}", end="" if fraction < 1 else "\n", file=sys.stderr, flush=True)

    return show


def _job(arguments: argparse.Namespace, store: Any, kind: str, request: dict[str, Any]) -> dict[str, Any]:
    from core.jobs.jobs import run_inline
    from core.jobs.pipeline import KINDS

    return run_inline(store, KINDS[kind], request, arguments.reviewer, _progress(arguments))


def demo(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """Makes the demo cohort."""
    from core.simulation.demo import build

    return build(store, real=arguments.real, sts=arguments.sts, progress=_progress(arguments))


def phantom(arguments: argparse.Namespace, store: None) -> dict[str, Any]:
    """Writes a simulated CT + PET pair with its true tumour mask, to try things with; needs no data."""
    from core.simulation.demo import write_phantom

    return write_phantom(arguments.out)


def import_scan(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """Imports one scan."""
    from dataclasses import asdict

    from core.jobs.pipeline import import_scan as run

    scan = run(
        store,
        arguments.files,
        dataset=arguments.dataset,
        patient_id=arguments.patient,
        timepoint=arguments.date,
        modality=arguments.modality,
        sequence=arguments.sequence,
        person=arguments.reviewer,
        confirm_id=arguments.id_is_a_pseudonym,
    )
    return asdict(scan)


def segment(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """Runs the network."""
    request = {"patient_id": arguments.patient, "timepoint": arguments.date, "model_id": arguments.model}
    return _job(arguments, store, "segment", request)


def refine(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """Refines with MedSAM."""
    prompts = [{"type": "box", "slice": box[0], "coords": box[1:], "positive": True} for box in arguments.box or []] + [
        _point(*words) for words in arguments.point or []
    ]
    request = {
        "patient_id": arguments.patient,
        "timepoint": arguments.date,
        "scan": arguments.scan,
        "prompts": prompts,
        "propagate": arguments.propagate,
        "lesion": arguments.lesion,
        "model_id": arguments.model,
    }
    return _job(arguments, store, "refine", request)


def _point(k: str, x: str, y: str, sign: str) -> dict[str, Any]:
    """A point of the command line. Raises InputError for words that are none."""
    if sign not in ("+", "-"):
        raise InputError(f"A point ends in + (belongs to the lesion) or - (does not), got {sign!r}.")
    try:
        return {"type": "point", "slice": int(k), "coords": [float(x), float(y)], "positive": sign == "+"}
    except ValueError:
        given = f"{k} {x} {y} {sign}"
        raise InputError(f"Expected a point as SLICE X Y SIGN, three numbers and + or -, got {given!r}.") from None


def import_mask(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """Imports a mask drawn elsewhere."""
    from core.jobs.pipeline import import_mask as run

    record = run(
        store, arguments.file, patient_id=arguments.patient, timepoint=arguments.date, author=arguments.reviewer
    )
    return record.to_json()


def decide(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """Accepts, rejects or withdraws a version; or accepts or rejects one lesion of it."""
    from dataclasses import asdict

    lesion = getattr(arguments, "lesion", None)
    decision = store.decisions.decide(
        arguments.patient,
        arguments.date,
        arguments.version,
        arguments.verb,
        arguments.reviewer,
        arguments.reason,
        arguments.comment,
        None if lesion is None else f"L{lesion}",
    )
    return asdict(decision)


def masks(arguments: argparse.Namespace, store: Any) -> list[dict[str, Any]]:
    """Lists every version that the reviewer may see."""
    from core.review.blind_reading import seen_of_patient

    store.patients.require(arguments.patient)
    return [record.to_json() for record in seen_of_patient(store, arguments.patient, arguments.reviewer)]


def ood(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """Scores the scans of a timepoint."""
    return _job(arguments, store, "score_ood", {"patient_id": arguments.patient, "timepoint": arguments.date})


def anomaly(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """Scores a mask version."""
    from core.gates.mask.verdicts import score_mask

    _check_seen(arguments, store)
    return score_mask(store, arguments.patient, arguments.date, arguments.version, arguments.reviewer)


def similar(arguments: argparse.Namespace, store: Any) -> list[dict[str, Any]]:
    """Finds lesions alike."""
    from core.gates.mask.verdicts import similar_lesions

    _check_seen(arguments, store)
    return similar_lesions(store, arguments.patient, arguments.date, arguments.version, arguments.k)


def _check_seen(arguments: argparse.Namespace, store: Any) -> None:
    from core.review.blind_reading import seen_version

    seen_version(store, arguments.patient, arguments.date, arguments.version, arguments.reviewer)


def growth(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """The twin's numbers."""
    from core.twin.trajectory import growth_report

    return growth_report(store, arguments.patient)


def keep_forecast(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """Keeps what is forecast now of a lesion or of the total, to be judged at the visits that come."""
    from core.twin.stored_forecasts import make_and_store_forecast

    return {
        "fit_id": make_and_store_forecast(
            store, arguments.patient, arguments.lesion, arguments.weeks, arguments.reviewer
        )
    }


def kept_forecasts(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """Kept forecasts of a patient or of all, what came of each, and how they did together."""
    from core.twin.stored_forecasts import prospective_performance, verify_forecasts

    found = verify_forecasts(store, arguments.patient)
    return {"record": prospective_performance(found), "forecasts": [one.to_json() for one in found]}


def learn_growth(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """Learns growth from this installation's accepted masks, and puts it in force."""
    from core.twin.local_population import fit_local_population

    return fit_local_population(store, arguments.reviewer)


def backtest(arguments: argparse.Namespace, store: None) -> dict[str, Any]:
    """Measures every forecast on a file of measured lesions (Pt_hashID, T_days, Lesion_vol)."""
    from core.growth.backtest import backtest_file

    return backtest_file(arguments.file, not arguments.quick, _progress(arguments))


def agreement(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """How far the readers of a timepoint agree, and their STAPLE consensus; stores nothing."""
    from core.jobs.stages.readers import readers_of_timepoint

    return readers_of_timepoint(store, arguments.patient, arguments.date, arguments.reviewer)


def correction(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """What human correction changed: nnU-Net, MedSAM-refined and accepted masks of a patient or the whole cohort."""
    from core.review.blind_reading import seen_of_all
    from core.review.correction import correction as run

    seen = {record.mask_id for record in seen_of_all(store, arguments.reviewer)}
    return run(store, arguments.patient, seen)


def lost(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """Marks the file of a mask version as lost, or as found again."""
    place = (arguments.patient, arguments.date, arguments.version)
    if arguments.found:
        store.losses.mark_found(*place, arguments.reviewer)
    else:
        store.losses.mark_lost(*place, arguments.reason, arguments.reviewer)
    return {"version": arguments.version, "lost": not arguments.found}


def person(arguments: argparse.Namespace, store: Any) -> list[dict[str, Any]]:
    """Lists people and their roles, adds one, or changes a role."""
    if arguments.what == "add":
        store.people.add(arguments.name, arguments.role, by=arguments.reviewer)
    return list(store.people.all())


def verify(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """Do files, sidecars and database agree?"""
    problems = store.verify()
    return {"clean": not problems, "problems": problems, "remarks": store.remarks()}


def audit(arguments: argparse.Namespace, store: Any) -> dict[str, Any]:
    """The audit chain: its head (to be kept elsewhere), whether it still holds one that was kept, and signing."""
    from store.ledger.heads import check_head

    if arguments.what == "sign":
        entry = store.ledger.begin_signing(arguments.reviewer)
        return {"seq": entry["seq"], "hash": entry["hash"], "signed": True}
    if arguments.what == "head":
        seq, digest = store.audit.last()
        return {"seq": seq, "hash": digest}
    if arguments.seq is None or arguments.hash is None:
        raise InputError("Expected `audit check SEQ HASH`, as `audit head` printed them.")
    check_head(store.audit.entries(), arguments.seq, arguments.hash)
    return {"seq": arguments.seq, "hash": arguments.hash, "held": True}


class _UsageError(Exception):
    """A command line that makes no sense, in one line."""


class _Parser(argparse.ArgumentParser):
    """One clear line instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        help_of = " ".join(["python cli.py", *self.prog.split()[1:], "--help"])
        raise _UsageError(f"{message} ({help_of} says more)")


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--data", type=Path, default=argparse.SUPPRESS, help="data root (default: TWIN_DATA or ./data)")
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")
    common.add_argument("--quiet", action="store_true", default=argparse.SUPPRESS, help="no progress")
    common.add_argument("--reviewer", default=argparse.SUPPRESS, help="who does this (default: TWIN_PERSON)")
    parser = _Parser(prog="cli.py", description=__doc__, parents=[common])
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, run: Callable[..., Any], *positionals: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=run.__doc__, description=run.__doc__, parents=[common])
        made.set_defaults(run=run)
        for positional in positionals:
            made.add_argument(positional.lower(), metavar=positional, type=int if positional == "VERSION" else str)
        return made

    made = verb("demo", demo)
    made.add_argument("--real", action="store_true", help="follow-ups simulated from real scans")
    made.add_argument("--sts", type=Path, default=Path("../shared/data/sts"), help="where those are")
    made = verb("phantom", phantom)
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder, made where there is none")
    made = verb("import", import_scan)
    made.add_argument("files", nargs="+", type=Path, metavar="FILE", help="NIfTI, NRRD, DICOM files, folder or zip")
    made.add_argument("--dataset", required=True)
    made.add_argument("--patient", required=True)
    made.add_argument("--date", required=True, metavar="YYYY-MM-DD")
    made.add_argument("--modality", required=True, choices=("CT", "PET", "MR"))
    made.add_argument("--sequence", default="")
    made.add_argument("--id-is-a-pseudonym", action="store_true", help="an id that looks like a name is none")
    verb("segment", segment, "PATIENT", "DATE").add_argument("--model", help="model id (System page lists them)")
    made = verb("refine", refine, "PATIENT", "DATE")
    made.add_argument("--scan", required=True, metavar="MODALITY")
    made.add_argument("--box", nargs=5, type=int, action="append", metavar=("SLICE", "X0", "Y0", "X1", "Y1"))
    made.add_argument("--point", nargs=4, action="append", metavar=("SLICE", "X", "Y", "SIGN"), help="SIGN is + or -")
    made.add_argument("--propagate", action="store_true", help="carry the mask to the neighbouring slices")
    made.add_argument("--lesion", type=int, help="lesion number (default: the one under the prompt, else a new one)")
    made.add_argument("--model", help="prompt model id")
    made = verb("import-mask", import_mask, "PATIENT", "DATE")
    made.add_argument("file", metavar="FILE", type=Path)
    for name in ("accept", "reject", "withdraw"):
        made = verb(name, decide, "PATIENT", "DATE", "VERSION")
        made.add_argument("--reason", required=True, metavar="CODE")
        if name != "withdraw":
            made.add_argument("--lesion", type=int, metavar="N", help="one lesion of the version (default: all of it)")
        made.add_argument("--comment", default="")
    verb("masks", masks, "PATIENT")
    verb("ood", ood, "PATIENT", "DATE")
    verb("anomaly", anomaly, "PATIENT", "DATE", "VERSION")
    verb("similar", similar, "PATIENT", "DATE", "VERSION").add_argument("-k", type=int, default=5)
    verb("growth", growth, "PATIENT")
    made = verb("keep-forecast", keep_forecast, "PATIENT")
    made.add_argument("--lesion", default="total", metavar="LESION", help="L1, L2 … (default: total)")
    made.add_argument("--weeks", type=int, default=12, help="how far ahead (default: 12)")
    verb("kept-forecasts", kept_forecasts).add_argument("patient", metavar="PATIENT", nargs="?")
    verb("learn-growth", learn_growth)
    made = verb("backtest", backtest)
    made.add_argument("what", choices=("growth",))
    made.add_argument("file", metavar="FILE", type=Path)
    made.add_argument("--quick", action="store_true", help="without fitting every growth law to every lesion")
    verb("agreement", agreement, "PATIENT", "DATE")
    verb("correction", correction).add_argument("patient", metavar="PATIENT", nargs="?")
    made = verb("lost", lost, "PATIENT", "DATE", "VERSION")
    why = made.add_mutually_exclusive_group(required=True)
    why.add_argument("--reason", metavar="TEXT", help="what became of the file")
    why.add_argument("--found", action="store_true", help="it is back, as it was stored")
    made = verb("person", person)
    made.add_argument("what", choices=("list", "add"))
    made.add_argument("name", metavar="NAME", nargs="?")
    made.add_argument("--role", choices=ROLES, default="reviewer", help="what they may do (default: reviewer)")
    verb("verify", verify)
    made = verb("audit", audit)
    made.add_argument("what", choices=("head", "check", "sign"))
    made.add_argument("seq", metavar="SEQ", type=int, nargs="?")
    made.add_argument("hash", metavar="HASH", nargs="?")
    verbs.add_parser("rebuild", help=rebuild.__doc__, parents=[common]).set_defaults(run=rebuild)
    return parser


def rebuild(arguments: argparse.Namespace, store: None) -> dict[str, Any]:
    """Makes the database again from the files."""
    from store import rebuild as run

    return run(arguments.data)


def _json(result: Any) -> str:
    """One JSON document; NaN and infinities, for which JSON has no word, become null."""
    from core.twin.trajectory import nan_to_null

    return json.dumps(nan_to_null(result), indent=2, default=str, allow_nan=False)


def _text(result: Any, indent: str = "") -> str:
    """Plain lines for people: `key: value`, lists one item a line."""
    if isinstance(result, list):
        return "\n".join(_text(item, indent) + ("\n" if isinstance(item, dict) else "") for item in result)
    if isinstance(result, dict):
        return "\n".join(
            f"{indent}{key}:\n{_text(value, indent + '  ')}"
            if isinstance(value, (dict, list)) and value
            else f"{indent}{key}: {value}"
            for key, value in result.items()
        )
    return f"{indent}{result}"


def _reads(arguments: argparse.Namespace) -> bool:
    """Whether the verb, as it is asked, writes nothing to the store."""
    if arguments.run in (audit, person):
        return arguments.what in ("head", "check", "list")
    return arguments.run in (masks, similar, growth, kept_forecasts, agreement, correction, verify)


def _who(arguments: argparse.Namespace, store: Any) -> str:
    """Under whose name a verb works: the name given, else the only one that the store knows, as on the pages.

    Raises:
        InputError: without a name where there are several, for a verb that writes under one.
    """
    given = getattr(arguments, "reviewer", None) or settings().person
    if given:
        return str(given)
    known = [str(row["name"]) for row in store.people.all()]
    if len(known) < 2:
        return known[0] if known else FIRST_PERSON
    if _reads(arguments) or arguments.run is demo:  # the demo is always made by "demo"
        return NOBODY
    raise InputError(
        f"Expected to know who does this, got no name, and this store knows {len(known)} people. Add --reviewer NAME, "
        "or set TWIN_PERSON."
    )


def _open(arguments: argparse.Namespace) -> Any:
    """The store: only `import` and `demo` make one; a verb that only reads does so also where nothing can be written,
    and beside the dashboard. What is to be known of that goes to stderr."""
    from store import open_store, open_to_look

    if _reads(arguments):
        store = open_to_look(arguments.data)
    else:
        store = open_store(arguments.data, create=arguments.run in (import_scan, demo))
    for text in store.recovered:
        print(text, file=sys.stderr)
    return store


#: What the file system answers when a path is wrong or closed to us.
_OF_THE_PATH = frozenset(
    {
        errno.ENOENT,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EROFS,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    }
)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def _refusal(error: OSError, data: Path) -> str:
    """What the system refused, and what to do about it."""
    what, place = error.strerror or "The system refused", error.filename or data
    if error.errno in _FULL:
        return f"{what}: {place}. Free some space and run it again; nothing half-written remains."
    if error.errno in _OF_THE_PATH:
        return f"{what}: {place}. Check path and rights."
    return f"{what}. Run it again; if it comes back, tell whoever runs TwinReview."


def _say(text: str, to: Any) -> bool:
    """Prints to stdout or stderr at once; False when whoever reads has gone, so that nothing more is said."""
    try:
        print(text, file=to, flush=True)
    except BrokenPipeError:
        # Python writes what is left at its end, and would complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), to.fileno())
        return False
    return True


def _failed(message: str, as_json: bool, status: int) -> int:
    """Says in one line what is wrong: on stderr, and with --json on stdout as {"error": …}."""
    line = " ".join(message.split())
    heard = _say(json.dumps({"error": line}, ensure_ascii=False), sys.stdout) if as_json else True
    return status if _say(line, sys.stderr) and heard else READER_GONE


def main(argv: list[str] | None = None) -> int:
    """Runs one verb; returns the exit status, or raises SystemExit(2) for a command line that makes no sense."""
    asked = sys.argv[1:] if argv is None else argv
    try:
        arguments = _parser().parse_args(asked)
    except _UsageError as error:
        raise SystemExit(_failed(str(error), "--json" in asked, 2)) from None
    arguments.json, arguments.quiet = getattr(arguments, "json", False), getattr(arguments, "quiet", False)
    for text in unknown_variables():
        _say(text, sys.stderr)
    try:
        in_force = settings()  # a wrong one is said before anything is done
        arguments.data = getattr(arguments, "data", None) or in_force.data
        set_default("TWIN_CACHE", str(arguments.data / "cache"))  # not in the folder this is called from
        if arguments.run in (rebuild, backtest, phantom):  # these need no open database
            result: Any = arguments.run(arguments, None)
        else:
            with _open(arguments) as store:
                arguments.reviewer = _who(arguments, store)
                result = arguments.run(arguments, store)
        text = _json(result) if arguments.json else _text(result)
    except TwinReviewError as error:
        return _failed(str(error), arguments.json, 1)
    except OSError as error:
        return _failed(_refusal(error, arguments.data), arguments.json, 1)
    except KeyboardInterrupt:
        return _failed("Stopped from the keyboard; nothing half-written remains.", arguments.json, 130)
    except Exception as error:
        from core.jobs.jobs import explain

        return _failed(explain(error), arguments.json, 1)
    if not _say(text, sys.stdout):
        return READER_GONE
    if arguments.run is verify and not result["clean"]:
        _say(f"{len(result['problems'])} problems: files, sidecars and database disagree.", sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    keep_private()
    sys.exit(main())
