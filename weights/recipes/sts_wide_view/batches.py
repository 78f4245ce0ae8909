"""Batches made on the device: patches cut, turned and mirrored by one interpolation, then changed in their values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from weights.recipes.sts_wide_view.cases import Case, Window, decode, normalise
from weights.recipes.sts_wide_view.crops import PATCH, Crop

Tensor = torch.Tensor

#: How often two patches are joined at a plane, so that no place in a patch says what belongs there.
JOINED = 0.15
#: How often a patch gets a blob that is hot and no tumour.
BLADDERS = 0.2
#: How often a channel's values are changed in each way.
OFTEN = {"noise": 0.4, "blur": 0.25, "contrast": 0.4, "gamma": 0.25}


class Volumes:
    """All cases as one tensor on the device, each at its corner, zeros (air) beyond.

    Args:
        cases: what `cases.load` gives.
        windows: of CT and PET.
        device: where to.
    """

    def __init__(self, cases: Sequence[Case], windows: tuple[Window, Window], device: torch.device) -> None:
        self.size = [max(case.tumour.shape[axis] for case in cases) for axis in range(3)]
        kept = torch.float16 if device.type == "cuda" else torch.float32
        self.values = torch.zeros((len(cases), 3, *self.size), dtype=kept, device=device)
        for n, case in enumerate(cases):
            channels = np.concatenate([normalise(decode(case.image), windows), case.tumour[None]])
            x, y, z = case.tumour.shape
            self.values[n, :, :x, :y, :z] = torch.from_numpy(channels).to(device, kept)

    def batch(self, crops: Sequence[Crop], patch: int = PATCH) -> tuple[Tensor, Tensor, Tensor]:
        """Patches as `Crop` describes them.

        Returns:
            image (B, 2, P, P, P) float32; tumour (B, 1, P, P, P) float32, 0 or 1; inside (B, 1, P, P, P) float32, 1
            where the scan is.
        """
        device = self.values.device
        numbers = torch.tensor([crop.case for crop in crops], device=device)
        turns = np.concatenate(
            [np.concatenate([c.matrix, c.centre[:, None], c.box.T], axis=1)[None] for c in crops]
        )  # (B, 3, 6): matrix, centre, first, last
        geometry = torch.from_numpy(turns.astype(np.float32)).to(device)
        line = torch.arange(patch, device=device, dtype=torch.float32) - (patch - 1) / 2
        points = torch.stack(torch.meshgrid(line, line, line, indexing="ij")).reshape(3, -1)
        at = geometry[:, :, :3] @ points + geometry[:, :, 3:4]  # (B, 3, P^3)
        # Half a voxel more on each side: a voxel is there as far as it reaches.
        inside = ((at > geometry[:, :, 4:5] - 0.5) & (at < geometry[:, :, 5:6] + 0.5)).all(1)
        scale = torch.tensor([2 / (n - 1) for n in self.size], device=device)[:, None]
        # grid_sample wants the last axis first.
        grid = (at * scale - 1).flip(1).transpose(1, 2).reshape(len(crops), patch, patch, patch, 3)
        taken = functional.grid_sample(
            self.values[numbers].float(), grid, mode="bilinear", padding_mode="zeros", align_corners=True
        )
        mask = inside.reshape(len(crops), 1, patch, patch, patch).float()
        taken = taken * mask
        return taken[:, :2], (taken[:, 2:] >= 0.5).float(), mask


def join(parts: tuple[Tensor, Tensor, Tensor], rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Some patches of the batch replaced beyond a plane by the next patch of the batch."""
    count, patch = parts[0].shape[0], parts[0].shape[-1]
    normals = rng.standard_normal((count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    # Where no plane is wanted it lies outside the patch.
    offset = np.where(rng.random(count) < JOINED, rng.uniform(-16, 16, count), 4 * patch)
    plane = torch.from_numpy(np.concatenate([normals, offset[:, None]], 1).astype(np.float32)).to(parts[0].device)
    line = torch.arange(patch, device=parts[0].device, dtype=torch.float32) - (patch - 1) / 2
    points = torch.stack(torch.meshgrid(line, line, line, indexing="ij")).reshape(3, -1)
    beyond = (plane[:, :3] @ points > plane[:, 3:]).reshape(count, 1, patch, patch, patch)
    image, tumour, inside = (torch.where(beyond, part.roll(1, 0), part) for part in parts)
    return image, tumour, inside


def with_bladders(
    parts: tuple[Tensor, Tensor, Tensor], rng: np.random.Generator, windows: tuple[Window, Window]
) -> Tensor:
    """The images, into some of which a blob of water with much uptake is put, away from any tumour.

    The scans end five centimetres from the tumour, so only a few show a bladder, and a network that has learned on
    twelve patients takes another's for a tumour: it must learn that hot water is none, wherever it lies.

    Args:
        parts: image, tumour and inside, as `Volumes.batch` gives them.
        rng: draws which patches, where, and how hot.
        windows: of CT and PET.
    """
    image, tumour, inside = parts
    count, patch = image.shape[0], image.shape[-1]
    there = rng.random(count) < BLADDERS
    hu, suv = rng.uniform(-5, 18, count), np.exp(rng.uniform(np.log(4), np.log(40), count))
    draws = np.concatenate(
        [
            rng.uniform(0, patch, (count, 3)),
            rng.uniform(4, 15, (count, 3)),
            rng.uniform(2, 4, (count, 1)),
            np.stack([there, (hu - windows[0].low) / windows[0].scale, suv / windows[1].scale], axis=1),
        ],
        axis=1,
    )
    middle, radii, power, facts = torch.from_numpy(draws.astype(np.float32)).to(image.device).split([3, 3, 1, 3], 1)
    line = torch.arange(patch, device=image.device, dtype=torch.float32)
    points = torch.stack(torch.meshgrid(line, line, line, indexing="ij")).reshape(1, 3, -1)
    away = ((points - middle[:, :, None]).abs() / radii[:, :, None]) ** power[:, :, None]
    depth = (1 - away.sum(1) ** (1 / power)) * radii.mean(1, keepdim=True)  # voxels below the surface
    depth = depth.reshape(count, 1, patch, patch, patch)
    touches = ((depth > -4) & (tumour > 0)).flatten(1).any(1)
    wanted = (facts[:, 0] * ~touches)[:, None, None, None, None]
    # PET's edge is blurred by the scanner over about two voxels, CT's is not.
    share = torch.cat([(3 * depth).sigmoid(), (1.6 * depth).sigmoid()], 1) * wanted * inside
    level = facts[:, 1:, None, None, None]
    noise = torch.tensor([12 / windows[0].scale, 0.03], device=image.device)[None, :, None, None, None]
    filled = level + noise * torch.randn_like(image)
    return image * (1 - share) + filled.clamp(min=0) * share


def change_values(image: Tensor, inside: Tensor, rng: np.random.Generator, top: Sequence[float]) -> Tensor:
    """Noise, blur, contrast and gamma, each for some patches and channels; air outside the scan stays air.

    Args:
        image: (B, 2, P, P, P) as the network sees it, from 0.
        inside: (B, 1, P, P, P), 1 where the scan is.
        top: the highest value of each channel.
    """
    count = image.shape[0]
    often = {name: rng.random((count, 2)) < share for name, share in OFTEN.items()}
    ct = np.array([True, False])
    limits = np.array(top)[None]
    draws = {
        "sigma": np.where(often["blur"], rng.uniform(0.3, 1.0, (count, 2)), 0.0),
        # CT: everywhere the same; PET: grows with the root of the uptake, below.
        "noise": np.where(often["noise"], rng.uniform(0.0, np.where(ct, 0.35, 0.12), (count, 2)), 0.0),
        "factor": np.where(often["contrast"], np.exp(rng.uniform(-1, 1, (count, 2)) * np.where(ct, 0.12, 0.4)), 1.0),
        "shift": np.where(often["contrast"] & ct, rng.uniform(-0.25, 0.25, (count, 2)), 0.0),
        "gamma": np.where(often["gamma"], np.exp(rng.uniform(-1, 1, (count, 2)) * np.where(ct, 0.1, 0.3)), 1.0),
        "top": np.broadcast_to(limits, (count, 2)),
        "pet": np.broadcast_to(~ct, (count, 2)).astype(float),
    }
    packed = torch.from_numpy(np.stack(list(draws.values())).astype(np.float32)).to(image.device)
    value = dict(zip(draws, packed[:, :, :, None, None, None], strict=True))
    image = blurred(image, draws["sigma"])
    part = (image / value["top"]).clamp(0, 1)
    image = part ** value["gamma"] * value["top"]
    # Air is 0 in CT and stays so: a shift moves tissue, not the lower limit.
    image = image * value["factor"] + value["shift"] * (image > 0.1)
    strength = value["noise"] * torch.where(value["pet"] > 0, (image.clamp(min=0) + 0.05).sqrt(), image.clamp(0, 1))
    image = image + torch.randn_like(image) * strength
    return torch.minimum(image.clamp(min=0), value["top"]) * inside


def blurred(image: Tensor, sigma: NDArray[np.float64]) -> Tensor:
    """(B, C, X, Y, Z), each channel blurred by its own Gaussian: `sigma` (B, C) in voxels, 0 for none."""
    count, channels = image.shape[:2]
    radius = 2
    steps = np.arange(-radius, radius + 1)
    kernels = np.exp(-0.5 * (steps / np.maximum(sigma[..., None], 1e-3)) ** 2)
    kernels /= kernels.sum(-1, keepdims=True)
    weights = torch.from_numpy(kernels.reshape(-1, 1, 2 * radius + 1).astype(np.float32)).to(image.device)
    out = image.reshape(1, count * channels, *image.shape[2:])
    for axis in range(3):
        shape, pad = [1, 1, 1], [0, 0, 0]
        shape[axis], pad[axis] = 2 * radius + 1, radius
        out = functional.conv3d(out, weights.reshape(-1, 1, *shape), padding=pad, groups=count * channels)
    return out.reshape(image.shape)
