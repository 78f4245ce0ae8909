"""What a model asks for and answers, by name: which scan feeds which channel, and which classes are lesions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from core.errors import InputError, ModelError


class Channelled(Protocol):
    """A scan as it is remembered, or as it is read: both know by which names models ask for it."""

    @property
    def channel(self) -> str: ...
    @property
    def sequence(self) -> str: ...
    @property
    def modality(self) -> str: ...


V = TypeVar("V", bound=Channelled)


class WaitsForScan(InputError):
    """A model's channel has no scan yet: what was asked has to wait until it is imported."""

    def __init__(self, missing: Sequence[str], have: Sequence[str]) -> None:
        self.missing, self._have = tuple(missing), tuple(have)
        #: One sentence for a page.
        self.brief = f"Waits for {' and '.join(missing)}: import {'it' if len(missing) == 1 else 'them'} for this date."
        super().__init__(
            f"{self.brief} The timepoint has no scan for its channel {' and '.join(map(repr, missing))} (it has "
            f"{', '.join(have) or 'no scan'}). Import a {' and a '.join(missing)} scan for this date, or choose "
            "another model."
        )

    def __reduce__(self) -> tuple[type[WaitsForScan], tuple[tuple[str, ...], tuple[str, ...]]]:
        """A worker hands it on as it is."""
        return WaitsForScan, (self.missing, self._have)


def channel_for(name: str, volumes: Sequence[V]) -> V:
    """The volume that a model's channel asks for: by channel name ("MR T1"), else sequence ("T1"), else modality.

    Raises:
        WaitsForScan: none fits. InputError: several fit. Either names what the timepoint has.
    """
    wanted = name.strip().lower()
    for key in ("channel", "sequence", "modality"):
        fits = [v for v in volumes if getattr(v, key).lower() == wanted]
        if len(fits) == 1:
            return fits[0]
        if fits:
            break
    have = [v.channel for v in volumes]
    if not fits:
        raise WaitsForScan([name], have)
    raise InputError(
        f"The timepoint has several scans that could be its channel {name!r} (it has {', '.join(have)}). "
        f"Import a {name} scan for this date, or choose another model."
    )


def scans_for(names: Iterable[str], volumes: Sequence[V]) -> list[V]:
    """The volumes that feed a model's channels, in its order.

    Raises:
        WaitsForScan: naming every channel without one. InputError: there is no volume at all, or several fit.
    """
    if not volumes:
        raise InputError("The timepoint has no scans. Import at least one before running a model.")
    chosen, missing = [], []
    for name in names:
        try:
            chosen.append(channel_for(name, volumes))
        except WaitsForScan:
            missing.append(name)
    if missing:
        raise WaitsForScan(missing, [v.channel for v in volumes])
    return chosen


def channels_of(model_id: str) -> tuple[str, ...]:
    """The names of a registered network's channels, as its dataset.json says; () where there is no such model, or it
    cannot be read: what is wrong is said when it is loaded.
    """
    from weights import registry

    try:
        described = json.loads((registry.locate(registry.find(model_id)) / "dataset.json").read_bytes())
        return channel_names(described)
    except (ModelError, OSError, ValueError, KeyError, AttributeError, TypeError):
        return ()


def channel_names(dataset: Mapping[str, Mapping[str, object]]) -> tuple[str, ...]:
    """The channels of a dataset.json's content, in their order."""
    channels = sorted(dataset["channel_names"].items(), key=lambda item: int(item[0]))
    return tuple(str(name) for _, name in channels)


#: Names of what is a lesion, and of what is a part of one.
_LESIONS = ("tumour", "tumor", "lesion", "cancer", "metast", "carcinoma", "nodule", "gtv")
_PARTS = ("enhanc", "necro", "edema", "oedema", "cystic", "cavity")


def lesion_classes(labels: Mapping[str, object]) -> tuple[int, ...]:
    """The class values that mean lesion: those named so or as a part of one, else every class but the background.

    A model that segments organs and tumours must not have its organs reviewed as lesions.
    """
    values = class_names(labels)
    named = tuple(v for v, name in values.items() if any(word in name.lower() for word in (*_LESIONS, *_PARTS)))
    return named or tuple(values)


def compartment_names(labels: Mapping[str, object]) -> dict[int, str]:
    """Class value -> name, of a model that tells several classes of lesion apart; {} of one that does not."""
    names, lesions = class_names(labels), lesion_classes(labels)
    return {value: names[value] for value in lesions} if len(lesions) > 1 else {}


def class_names(labels: Mapping[str, object]) -> dict[int, str]:
    """Class value -> name, but for background and what was left out of training.

    A model of regions that lie in each other ("whole tumor": [1, 2, 3]) answers with the number of each voxel's
    innermost region: it has that one's name.
    """
    found: dict[int, tuple[int, str]] = {}
    for name, value in labels.items():
        members = [v for v in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(v, int) and v > 0]
        for member in members if name.lower() not in ("background", "ignore") else ():
            if member not in found or len(members) < found[member][0]:
                found[member] = (len(members), name if len(members) == 1 else f"{name}, the rest of it")
    return {value: name for value, (_, name) in found.items()}
