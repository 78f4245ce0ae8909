"""Every setting of an installation: environment variables, each with its meaning, unit, allowed values and default.

`settings()` reads them when it is asked, so that a change holds from then on. A process that is started from here reads
them from what it inherits (`for_child`). Nothing else of ours looks at the environment. `make settings` writes
docs/settings.md from this module.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from core import strict as values
from core.errors import InputError

#: Variables with our prefix that no room reads.
OF_TESTS = {"TWIN_SHARED": "folder of the real scans with which tests and benchmarks work, else `../shared/data`"}
_QUOTED = 40


@dataclass(frozen=True)
class Spec:
    """What is said of a variable beside its description.

    Args:
        allowed: the values it may have, as they follow "Expected NAME as …".
        unit: of its number.
        unset: what holds without it, where the default's value does not say so.
    """

    allowed: str
    unit: str = ""
    unset: str = ""


_ABOVE_0 = "a number above 0 and below 1,000,000"
_Amount = Annotated[float, Field(gt=0, lt=1e6)]
_Unset = BeforeValidator(values.blank_is_unset)


class Settings(BaseSettings):
    """The settings in force. Paths are as they were given: relative ones mean the folder that was started from."""

    model_config = SettingsConfigDict(
        frozen=True, case_sensitive=True, validate_default=False, hide_input_in_errors=True, allow_inf_nan=False
    )

    data: Annotated[Path, Spec("a folder", unset="`./data`")] = Field(
        default=Path("data"), validation_alias="TWIN_DATA", description="data root: everything that is remembered"
    )
    cache: Annotated[Path | None, _Unset, Spec("a folder", unset="`cache` in the data root")] = Field(
        default=None,
        validation_alias="TWIN_CACHE",
        description="folder of what can be made again: embedded slices, the converted encoder",
    )
    embedding_cache_gb: Annotated[float, Field(ge=0), Spec("0 or a larger number of gigabytes", unit="GB")] = Field(
        default=4.0,
        validation_alias="TWIN_EMBEDDING_CACHE_GB",
        description="most that embedded slices (2 MB each) may take; the least recently used go",
    )
    prompt_idle_minutes: Annotated[_Amount, Spec(_ABOVE_0, unit="min")] = Field(
        default=30.0,
        validation_alias="TWIN_PROMPT_IDLE_MINUTES",
        description="after so long without a prompt, the process that runs MedSAM (1 to 1.5 GB) ends; the next prompt "
        "starts it again",
    )
    encoder: Annotated[Literal["openvino", "torch"], Spec("openvino or torch")] = Field(
        default="openvino",
        validation_alias="TWIN_ENCODER",
        description="`torch` keeps MedSAM's encoder in PyTorch, else OpenVINO is used on a CPU",
    )
    neighbours: Annotated[Literal["auto", "exact", "hnsw", "ruvector"], Spec("auto, exact, hnsw or ruvector")] = Field(
        default="auto",
        validation_alias="TWIN_NEIGHBOURS",
        description="what looks for lesions like one: `exact` compares all, `hnsw` asks hnswlib's index, `ruvector` "
        "that of RuVector, an optional package; `auto` is exact below 100,000 lesions and hnswlib from there on",
    )
    lesion_encoder: Annotated[
        Literal["litemedsam", "astra-ct-encoder", "medsiglip", "none"],
        Spec("litemedsam, astra-ct-encoder, medsiglip or none"),
    ] = Field(
        default="litemedsam",
        validation_alias="TWIN_LESION_ENCODER",
        description="encoder by whose features lesions are compared on Evidence; the second and third are optional and "
        "look anew at every lesion; with `none` nothing looks, and lesions are compared by shape",
    )
    max_import_gb: Annotated[_Amount, Spec(_ABOVE_0, unit="GiB")] = Field(
        default=4.0,
        validation_alias="TWIN_MAX_IMPORT_GB",
        description="most that one image's voxels may take, as 4-byte numbers (4: a CT of 1024 x 1024 x 1024); its "
        "reader gets four times that",
    )
    import_seconds: Annotated[_Amount, Spec(_ABOVE_0, unit="s")] = Field(
        default=300.0, validation_alias="TWIN_IMPORT_SECONDS", description="longest that reading one image may take"
    )
    max_upload_gb: Annotated[_Amount, Spec(_ABOVE_0, unit="GiB")] = Field(
        default=2.0,
        validation_alias="TWIN_MAX_UPLOAD_GB",
        description="most that one browser session may hold of files it sent; all together get four times that",
    )
    max_upload_files: Annotated[int, Field(gt=0, lt=10**6), Spec("a whole number above 0 and below 1,000,000")] = Field(
        default=5000,
        validation_alias="TWIN_MAX_UPLOAD_FILES",
        description="most files that one browser session may hold",
    )
    dates: Annotated[Literal["keep", "shift"], Spec("keep or shift")] = Field(
        default="keep",
        validation_alias="TWIN_DATES",
        description="`shift`: no date of a file is stored or shown; `keep`: the file's date where it is the one given",
    )
    umask: Annotated[
        int,
        BeforeValidator(values.octal),
        Spec("077 (only this account), 007 (a group writes, too) or 027 (a group reads)", unset="`077`"),
    ] = Field(
        default=values.PRIVATE,
        validation_alias="TWIN_UMASK",
        description="rights that files and folders of TwinReview do not get: `077` leaves them to its account alone, "
        "`007` shares them with the group of the data root, `027` lets that group read",
    )
    weights: Annotated[Path | None, BeforeValidator(values.stripped_or_unset), Spec("a folder", unset="none")] = Field(
        default=None, validation_alias="TWIN_WEIGHTS", description="a further folder of models"
    )
    workers: Annotated[int, BeforeValidator(values.whole), Field(ge=1), Spec("a whole number from 1 on")] = Field(
        default=1, validation_alias="TWIN_WORKERS", description="worker processes for jobs"
    )
    dask: Annotated[str | None, _Unset, Spec("an address, `tls://…`", unset="none")] = Field(
        default=None,
        validation_alias="TWIN_DASK",
        description="address of a Dask cluster instead; it must see the data root under the same path",
    )
    dask_without_tls: Annotated[bool, values.one_word("yes"), Spec("yes or no", unset="`no`")] = Field(
        default=False,
        validation_alias="TWIN_DASK_WITHOUT_TLS",
        description="`yes` allows a `tcp://` address in `TWIN_DASK`, on this machine only: everybody with an account "
        "on it then runs what they like as the workers",
    )
    hosts: Annotated[
        frozenset[str],
        NoDecode,
        BeforeValidator(values.names),
        Spec("names and addresses, with commas between", unset="localhost and loopback addresses alone"),
    ] = Field(
        default=frozenset(),
        validation_alias="TWIN_HOSTS",
        description="further names and addresses under which browsers may open the dashboard",
    )
    secret: Annotated[
        SecretStr | None,
        _Unset,
        AfterValidator(values.hard_to_guess),
        Spec(f"{values.SHORTEST_SECRET} characters or more", unset="the file `secret` in the data root"),
    ] = Field(
        default=None,
        validation_alias="TWIN_SECRET",
        description="signs the cookie that keeps a person's name for their browser; the same for servers that share "
        "browsers. Whoever knows it can work under any name",
    )
    audit_key: Annotated[
        SecretStr | None,
        _Unset,
        AfterValidator(values.key_or_path),
        Spec(f"a path with a `/`, or {values.SHORTEST_SECRET} characters or more", unset="none"),
    ] = Field(
        default=None,
        validation_alias="TWIN_AUDIT_KEY",
        description="signs the audit: the path of a key file outside of the data root if it has a `/`, else the key",
    )
    audit_anchor: Annotated[Path | None, _Unset, Spec("a file", unset="none")] = Field(
        default=None,
        validation_alias="TWIN_AUDIT_ANCHOR",
        description="a file outside of the data root, best on another machine, to which the head of the audit is added "
        "with every write",
    )
    person: Annotated[
        str | None, _Unset, Spec("a name", unset="the only person known; with more, writing verbs refuse")
    ] = Field(
        default=None,
        validation_alias="TWIN_PERSON",
        description="who the command line writes as, and what it shows of what is read blind",
    )
    llm_url: Annotated[
        str | None,
        BeforeValidator(values.stripped_or_unset),
        AfterValidator(values.endpoint),
        Spec(values.ENDPOINT, unset="none"),
    ] = Field(
        default=None,
        validation_alias="TWIN_LLM_URL",
        description="where a language model may be asked about evidence, as OpenAI's interface has it, up to `/v1`; "
        "without it none is asked. Text without names is sent, after a person has read it",
    )
    llm_model: Annotated[str | None, BeforeValidator(values.stripped_or_unset), Spec("a name", unset="none")] = Field(
        default=None, validation_alias="TWIN_LLM_MODEL", description="the model's name at that address"
    )
    llm_key: Annotated[
        SecretStr | None,
        BeforeValidator(values.stripped_or_unset),
        AfterValidator(values.in_a_header),
        Spec("letters, digits and signs of ASCII without spaces", unset="none"),
    ] = Field(default=None, validation_alias="TWIN_LLM_KEY", description="key that the address asks for, as a bearer's")
    llm_timeout_s: Annotated[_Amount, Spec(_ABOVE_0, unit="s")] = Field(
        default=60.0,
        validation_alias="TWIN_LLM_TIMEOUT_S",
        description="longest that a language model's answer may take",
    )
    omp_num_threads: Annotated[
        str | None,
        BeforeValidator(values.threads),
        Spec("a whole number from 1 on, or several with commas between", unset="the cores, shared out to the workers"),
    ] = Field(default=None, validation_alias="OMP_NUM_THREADS", description="threads of each worker process for jobs")

    @property
    def cache_folder(self) -> Path:
        """Folder of files that can be made again at any time."""
        return self.cache or self.data / "cache"


#: variable -> its field in `Settings`
FIELDS = {str(field.validation_alias): name for name, field in Settings.model_fields.items()}


def settings() -> Settings:
    """The settings in force: read now, checked anew only after one has changed.

    Raises:
        InputError: the first variable that has a value it may not have, by name; a secret's value is not quoted.
    """
    return _read(tuple(given(FIELDS).items()))


@lru_cache(maxsize=1)
def _read(texts: tuple[tuple[str, str], ...]) -> Settings:
    """`texts` is what they are read from: it decides whether they are read again."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    got = "something else" if is_secret(name) else ascii(dict(texts).get(name, "")[:_QUOTED])
    raise InputError(f"Expected {name} as {spec_of(name).allowed}, got {got}. Correct the setting.")


def is_secret(variable: str) -> bool:
    """Whether nobody may see its value."""
    return Settings.model_fields[FIELDS[variable]].annotation == SecretStr | None


def spec_of(variable: str) -> Spec:
    """The notes on a variable beside its description."""
    return next(one for one in Settings.model_fields[FIELDS[variable]].metadata if isinstance(one, Spec))


def unknown_variables() -> list[str]:
    """A sentence for each variable that is set, looks like a setting and is none; values are not quoted."""
    sentences = []
    for name in sorted(name for name in os.environ if name.startswith("TWIN_")):
        if name in FIELDS or name in OF_TESTS:
            continue
        near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.8)
        meant = f"; did you mean {near[0]}?" if near else "."
        sentences.append(
            f"{ascii(name[:60])[1:-1]} is set, but TwinReview has no such setting{meant} docs/settings.md lists them."
        )
    return sentences


def given(names: Iterable[str]) -> dict[str, str]:
    """Name -> text of those variables that are set."""
    return {name: os.environ[name] for name in names if name in os.environ}


def adopt(values: Mapping[str, str]) -> None:
    """Sets variables of this process, and so of those that it starts from now on."""
    os.environ.update(values)


def set_default(name: str, value: str) -> None:
    """Sets a variable that is not set."""
    os.environ.setdefault(name, value)


def for_child(
    values: Mapping[str, str], *, only: Collection[str] | None = None, without: str = "", home: Path | None = None
) -> dict[str, str]:
    """The environment of a process that is started from here.

    Args:
        values: variables that it gets as they stand here, whatever they are in this process.
        only: of this process's variables it gets these alone; None for all.
        without: those whose names begin so it does not get; "" keeps all.
        home: a folder whose modules it finds before all others, in front of this process's PYTHONPATH.
    """
    handed_on = given(os.environ if only is None else only)
    environment = {name: value for name, value in handed_on.items() if not (without and name.startswith(without))}
    if home is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(home), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**environment, **values}
