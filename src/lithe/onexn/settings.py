"""What the 1xN chapter measures, in numbers: the config of its runs, and their images."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lithe import data
from lithe.onexn.contest import VARIANTS
from lithe.onexn.counts import EXACT
from lithe.onexn.pretrained import ONE_SHOT
from lithe.training import TrainConfig

__all__ = ["EXHIBITS", "Config", "described", "images"]

EXHIBITS = EXACT | ONE_SHOT
WIDTHS = (16, 32, 64, 64, 128, 128)
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Config(BaseModel):
    """What to measure. smoke, small and full differ in numbers only.

    Attributes:
        profile: which shelf of the ledger the records go to.
        exhibits: records without training, by name; see ``EXHIBITS``.
        data: ``"digits"`` (generated, bundled) or ``"cifar"`` (real, from the shared folder).
        train_images: images to train on.
        test_images: images to test on; all there are where 0.
        image_size: side in pixels; area-averaged down where smaller than the data's.
        variants: rows of the contest; see ``VARIANTS``. The dense network comes with them.
        seeds: every variant runs once per seed.
        widths: filters of the dense network.
        epochs: of the dense network, with a cosine and one epoch of warm-up.
        lr: its learning rate.
        tune_epochs: of every fine-tuning, with a cosine.
        tune_lr: its learning rate.
        batch_size: images per step.
        weight_decay: on all parameters.
        workers: processes side by side, one thread each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Literal["smoke", "small", "full"] = "smoke"
    exhibits: tuple[str, ...] = ()
    data: Literal["digits", "cifar"] = "digits"
    train_images: Count = 1000
    test_images: Annotated[int, Field(ge=0)] = 500
    image_size: Annotated[int, Field(ge=8, le=32)] = 16
    variants: tuple[str, ...] = ("tuned", "weight-p75", "1x4-p75", "filter-p75")
    seeds: tuple[Seed, ...] = (0,)
    widths: Annotated[tuple[Count, ...], Field(min_length=2)] = WIDTHS
    epochs: Annotated[int, Field(ge=2)] = 4
    lr: Rate = 0.1
    tune_epochs: Count = 2
    tune_lr: Rate = 0.01
    batch_size: Count = 100
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5e-4
    workers: Count = 1

    @model_validator(mode="after")
    def _known_names(self) -> Config:
        for given, known, what in (
            (self.exhibits, EXHIBITS, "exhibit"),
            (self.variants, VARIANTS, "variant"),
        ):
            unknown = [name for name in given if name not in known]
            if unknown:
                raise ValueError(f"no {what} {unknown[0]!r}; there are: {', '.join(known)}")
        for name in ("exhibits", "variants", "seeds"):
            given = getattr(self, name)
            if len(set(given)) < len(given):  # two workers would share one checkpoint folder
                raise ValueError(f"{name} = {given} holds an entry twice")
        return self

    def dense_recipe(self, seed: int) -> TrainConfig:
        """How the dense network of one seed is trained."""
        return self._recipe(seed, epochs=self.epochs, lr=self.lr, warmup_epochs=1)

    def tune_recipe(self, seed: int) -> TrainConfig:
        """How every variant of one seed is fine-tuned."""
        return self._recipe(seed, epochs=self.tune_epochs, lr=self.tune_lr)

    def _recipe(self, seed: int, **changed: Any) -> TrainConfig:
        shared = {"batch_size": self.batch_size, "weight_decay": self.weight_decay}
        return TrainConfig(schedule="cosine", seed=seed, **shared, **changed)


@lru_cache(maxsize=1)
def images(config: Config) -> tuple[data.Images, data.Images]:
    """Training and test images of a config.

    Raises:
        lithe.data.DataError: the shared folder is missing, or too few images are in it.
    """
    if config.data == "digits":
        train, test = data.cluttered_digits(config.train_images, config.test_images or 1000)
    else:
        train, test = data.cifar10_subset()
        train = train.subset(config.train_images)
        test = test.subset(config.test_images) if config.test_images else test
    if config.image_size < train.shape[-1]:
        train, test = train.resize(config.image_size), test.resize(config.image_size)
    return train, test


def described(images: Any) -> dict[str, Any]:
    """A data set as the ledger writes it down."""
    about = images.describe()
    return {"name": about["name"], "sha256": about.get("sha256"), "sizes": {"n": len(images)}}
