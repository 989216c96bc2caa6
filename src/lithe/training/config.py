"""The recipe of a training run."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["TrainConfig"]

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class TrainConfig(BaseModel):
    """All that decides a training run, apart from the model and the data.

    Unknown keys and impossible values are refused. The defaults are the CIFAR-10 recipe of
    DCFF spec 4, cut to 10 epochs.

    Attributes:
        epochs: passes over the training data.
        batch_size: images per optimiser step, over all processes and micro-batches, so that a
            recipe stays the same recipe on any machine.
        optimizer: ``"sgd"`` or ``"adamw"``.
        lr: learning rate that the schedule multiplies.
        momentum: of SGD.
        nesterov: Nesterov momentum of SGD.
        betas: of AdamW.
        weight_decay: L2 penalty (SGD) or decoupled decay (AdamW).
        decay: ``"all"`` decays every parameter; ``"dense"`` only weights of linear layers and
            of convolutions with more than one input channel per group, so neither depthwise
            weights nor batch norm nor biases (PSS-Net spec).
        schedule: ``"constant"``, ``"step"`` (times ``gamma`` at each milestone) or ``"cosine"``
            (to ``lr_end`` at the end).
        milestones: epochs, from 0, at which ``"step"`` multiplies by ``gamma``.
        gamma: factor of ``"step"``.
        lr_end: learning rate at which ``"cosine"`` would arrive after the last epoch.
        warmup_epochs: linear warm-up, per iteration, multiplied onto the schedule.
        per_iteration: let ``"cosine"`` move with every step, not only with every epoch.
        accumulate: micro-batches per step; the result is that of the whole batch, but for batch
            norm, which sees each micro-batch by itself.
        clip_norm: largest norm of the gradient, or no clipping.
        ema_decay: also keep an exponential moving average of the weights with this decay.
        precision: ``"no"`` for float32, ``"bf16"`` for autocast (weights stay float32).
        drop_last: leave out a last batch that is not full.
        seed: decides data order, augmentation and dropout; not the initial weights, which the
            caller made.
        checkpoint_every: epochs between checkpoints; the last epoch is always kept.
        device: ``"auto"`` takes an accelerator where there is one.
        find_unused: for several processes, when some parameters get no gradient in some steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: Count = 10
    batch_size: Count = 256
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Positive = 0.1
    momentum: Share = 0.9
    nesterov: bool = False
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: NotNegative = 5e-4
    decay: Literal["all", "dense"] = "all"
    schedule: Literal["constant", "step", "cosine"] = "constant"
    milestones: tuple[Count, ...] = ()
    gamma: Positive = 0.1
    lr_end: NotNegative = 0.0
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    per_iteration: bool = False
    accumulate: Count = 1
    clip_norm: Positive | None = None
    ema_decay: Share | None = None
    precision: Literal["no", "bf16"] = "no"
    drop_last: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    checkpoint_every: Count = 1
    device: Literal["auto", "cpu"] = "auto"
    find_unused: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.schedule == "step") != bool(self.milestones):
            raise ValueError(
                f'schedule="{self.schedule}" with milestones={self.milestones}: milestones go '
                'with schedule="step", which needs at least one'
            )
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones={self.milestones} must be in rising order")
        if self.per_iteration and self.schedule != "cosine":
            raise ValueError(f'per_iteration=True is for "cosine", not "{self.schedule}"')
        if self.schedule == "cosine" and self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs={self.warmup_epochs} leaves nothing of epochs={self.epochs} for "
                "the cosine"
            )
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError("nesterov=True needs optimizer='sgd' and a momentum above 0")
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate={self.accumulate} cuts batch_size={self.batch_size} into nothing"
            )
        return self
