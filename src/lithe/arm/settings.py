"""What the ARM chapter measures, in numbers: the config of its runs, and their images."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lithe.arm import observed, photographed
from lithe.arm.contest import VARIANTS, Material
from lithe.arm.testsets import (
    SETS,
    benchmark,
    bundled,
    calibration_pictures,
    training_pictures,
)
from lithe.arm.training import recipe
from lithe.training import TrainConfig

__all__ = ["EXHIBITS", "Config", "material"]

#: Records without training, by name.
EXHIBITS = observed.EXHIBITS | photographed.EXHIBITS

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]

#: Bundled photographs to train, calibrate and test on when there is no shared folder.
BUNDLED = (
    ("coffee", "chelsea", "ihc", "camera", "brick", "coins", "moon"),
    ("hubble", "gravel", "motorcycle"),
    ("astronaut", "rocket"),
)


class Config(BaseModel):
    """What to measure. smoke, small and full differ in numbers only.

    Attributes:
        profile: which shelf of the ledger the records go to.
        exhibits: records without training, by name; see ``EXHIBITS``.
        data: ``"bundled"`` (photographs of scikit-image) or ``"shared"`` (real training and
            test sets from the shared folder).
        side: bundled images are cut to so many pixels in the middle.
        variants: ways of sampling widths; see ``VARIANTS``.
        seeds: every variant runs once per seed.
        widths: of the supernet, rising.
        crop: side of a training crop, small pixels.
        crop_step: from one crop to the next.
        epochs: passes over the crops, with a cosine to nearly zero.
        lr: learning rate that it begins with.
        batch_size: crops per step.
        patch_step: from one calibration patch to the next, small pixels.
        bins: of the edge tables; the routers use the first.
        workers: processes side by side, one thread each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Literal["smoke", "small", "full"] = "smoke"
    exhibits: tuple[str, ...] = ()
    data: Literal["bundled", "shared"] = "bundled"
    side: Annotated[int, Field(ge=128)] = 256
    variants: tuple[str, ...] = ("squared",)
    seeds: tuple[Seed, ...] = (0,)
    widths: Annotated[tuple[Count, ...], Field(min_length=1)] = (8, 16, 24)
    crop: Annotated[int, Field(ge=8)] = 16
    crop_step: Count = 8
    epochs: Count = 4
    lr: Rate = 1e-3
    batch_size: Count = 16
    patch_step: Count = 16
    bins: Annotated[tuple[Count, ...], Field(min_length=1)] = (10,)
    workers: Count = 1

    @model_validator(mode="after")
    def _known_names(self) -> Config:
        for given, known, what in (
            (self.exhibits, EXHIBITS, "exhibit"),
            (self.variants, VARIANTS, "variant"),
        ):
            for name in given:
                if name not in known:
                    raise ValueError(f"no {what} {name!r}; there are: {', '.join(known)}")
        for name in ("exhibits", "variants", "seeds", "bins"):
            given = getattr(self, name)
            if len(set(given)) < len(given):  # two workers would share one checkpoint folder
                raise ValueError(f"{name} = {given} holds an entry twice")
        if list(self.widths) != sorted(set(self.widths)) or self.widths[0] <= len(self.widths):
            raise ValueError(
                f"widths = {self.widths}; give rising numbers of channels, above how many they are"
            )
        return self

    def recipe(self, seed: int) -> TrainConfig:
        """How every variant of one seed is trained."""
        chosen = {"epochs": self.epochs, "lr": self.lr, "batch_size": self.batch_size}
        return recipe("fsrcnn", seed=seed, drop_last=True, **chosen)


@lru_cache(maxsize=1)
def material(config: Config) -> Material:
    """Images of a config.

    Raises:
        lithe.data.DataError: the shared folder is missing or damaged.
    """
    if config.data == "shared":
        sets = tuple(benchmark(name) for name in SETS)
        return Material(training_pictures(), calibration_pictures(), sets)
    training, calibration, test = (bundled(names).cut(config.side) for names in BUNDLED)
    return Material(training, calibration, (test,))
