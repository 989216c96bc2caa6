"""What the PSS-Net chapter measures, in numbers: the config of its runs, and their images."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lithe import data
from lithe.pssnet.contest import ALONE, VARIANTS, Shape, Split
from lithe.pssnet.readings import EXHIBITS
from lithe.training import TrainConfig

__all__ = ["EXHIBITS", "Config", "described", "split"]

DATA = ("digits", "cifar")
TEST_DIGITS = 1000
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Config(BaseModel):
    """What to measure. smoke, small and full differ in numbers only.

    Attributes:
        profile: which shelf of the ledger the records go to.
        exhibits: records without training a supernet, by name; see ``EXHIBITS``.
        data: ``"digits"`` (generated, bundled), ``"cifar"`` (real, from the shared folder).
        train_images: images to train on.
        held_out_images: further images, to choose among retained subnets.
        test_images: images to test on; all there are where 0.
        image_size: side in pixels; area-averaged down where smaller than the data's.
        variants: rows of the contest; see ``VARIANTS``. ``"alone"`` trains subnets that
            ``"effective"`` retained by themselves, so it needs that row.
        seeds: every variant runs once per seed.
        widths: filters of the largest net.
        ratios: smallest and largest share of each width.
        resolutions: input sizes, pixels.
        divisor: channel counts are multiples of this.
        targets: budgets between the smallest and the largest net.
        capacity: subnets a pool holds.
        draws: configurations that build the released sampler's histograms.
        epochs: of the schedules; passes over the training images.
        lr: first learning rate, with a cosine to 0.
        batch_size: images per step.
        weight_decay: on convolutions and the linear layer.
        workers: processes side by side, one thread each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Literal["smoke", "small", "full"] = "smoke"
    exhibits: tuple[str, ...] = ()
    data: tuple[Literal["digits", "cifar"], ...] = ("digits",)
    train_images: Count = 640
    held_out_images: Count = 200
    test_images: Annotated[int, Field(ge=0)] = 200
    image_size: Annotated[int, Field(ge=8, le=32)] = 16
    variants: tuple[str, ...] = ("space", "released")
    seeds: tuple[Seed, ...] = (0,)
    widths: Annotated[tuple[Count, ...], Field(min_length=2)] = (8, 16, 16, 32)
    ratios: tuple[float, float] = (0.25, 1.0)
    resolutions: Annotated[tuple[Count, ...], Field(min_length=1)] = (8, 10, 12, 14, 16)
    divisor: Count = 2
    targets: Annotated[int, Field(ge=2)] = 8
    capacity: Count = 10
    draws: Count = 20_000
    epochs: Count = 6
    lr: Rate = 0.1
    batch_size: Count = 64
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-4
    workers: Count = 1

    @model_validator(mode="after")
    def _known_names(self) -> Config:
        for given, known, what in (
            (self.exhibits, EXHIBITS, "exhibit"),
            (self.variants, (*VARIANTS, ALONE), "variant"),
        ):
            unknown = [name for name in given if name not in known]
            if unknown:
                raise ValueError(f"no {what} {unknown[0]!r}; there are: {', '.join(known)}")
        for name in ("exhibits", "variants", "seeds", "data"):
            given = getattr(self, name)
            if len(set(given)) < len(given):  # two workers would share one checkpoint folder
                raise ValueError(f"{name} = {given} holds an entry twice")
        if ALONE in self.variants and "effective" not in self.variants:
            raise ValueError(f"{ALONE!r} trains what 'effective' retained: name both as variants")
        return self

    @property
    def shape(self) -> Shape:
        """The supernet and its budgets."""
        return Shape(**{name: getattr(self, name) for name in Shape.__dataclass_fields__})

    def recipe(self, seed: int) -> TrainConfig:
        """How every variant of one seed is trained; the released recipe but for its size."""
        return TrainConfig(
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            nesterov=True,
            weight_decay=self.weight_decay,
            decay="dense",
            schedule="cosine",
            per_iteration=True,
            seed=seed,
        )


def split(name: str, config: Config) -> Split:
    """Training, held-out and test images of one data set; the first two come from one source.

    Raises:
        lithe.data.DataError: the shared folder is missing, or too few images are in it.
    """
    return _split(
        name,
        config.train_images,
        config.held_out_images,
        config.test_images,
        config.image_size,
    )


@lru_cache(maxsize=2)
def _split(name: str, n_train: int, n_held_out: int, n_test: int, size: int) -> Split:
    wanted = n_train + n_held_out
    if name == "digits":
        pool, test = data.cluttered_digits(wanted, n_test or TEST_DIGITS)
    else:
        pool, test = data.cifar10_subset()
        test = test.subset(n_test) if n_test else test
    if wanted > len(pool):
        raise data.DataError(f"{pool.name} has {len(pool)} images, {wanted} are asked for")
    if size < pool.shape[-1]:
        pool, test = pool.resize(size), test.resize(size)
    return Split(pool.subset(n_train), pool.subset(range(n_train, wanted)), test)


def described(images: Any) -> dict[str, Any]:
    """A data set as the ledger writes it down."""
    about = images.describe()
    return {"name": about["name"], "sha256": about.get("sha256"), "sizes": {"n": len(images)}}
