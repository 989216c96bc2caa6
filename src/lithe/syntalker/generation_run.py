"""Everything that the chapters on generating motion measure.

``python -m lithe.syntalker.generation_run config.json`` runs a config, ``--profile small`` that of
the chapter on control; ``--keep FOLDER`` then writes the full variant's weights there, as one
bundle. ``--key denoiser --speech-folder A --motion-folder B --codec X --space Y`` trains stage 3 at
the released size and length on a reader's own data, alone or by torchrun.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lithe import ledger, profiles
from lithe.experiments import (
    SELECTION,
    Experiments,
    Job,
    Measured,
    exit_code,
    read_config,
    whole_number,
)
from lithe.syntalker.bundle import Bundle
from lithe.syntalker.generation_contest import Foundation, contend, foundation, scene
from lithe.syntalker.generation_settings import VARIANTS, GenerationConfig
from lithe.syntalker.generation_trials import real, sweep, trial
from lithe.training import History

__all__ = ["EXPERIMENTS", "GenerationConfig", "main", "run", "trained"]

PREFIX = "generation-"
BASE, SWEEPS, FULL = f"{PREFIX}foundation", f"{PREFIX}sweeps", f"{PREFIX}full"


def _modules(*names: str) -> tuple[str, ...]:
    return tuple(f"lithe.syntalker.{name}" for name in names)


#: Modules that decide what is found; the everyday ones (pipeline, bundle, files) do not.
_WORLD = _modules(
    *("ablations", "amplitude", "autoencoder", "captions", "clips", "first_weights"),
    *("generation_contest", "generation_material", "generation_settings", "h3d", "ik"),
    *("kinematics", "material", "motion", "movers", "noise", "normaliser", "skeleton", "sound"),
    *("speech", "spoken", "talkers", "vocabulary", "voice", "words", "world", "world_arms"),
    *("world_pose", "world_steps"),
)
_BEFORE = _modules(
    *("codebook", "codec", "losses", "processes", "quantizer", "retrieval", "seams", "space"),
    *("stage1", "stage2", "text", "minilm", "tmr", "vqvae"),
)
_STAGE3 = _modules(
    *("conditions", "denoiser", "diffusion", "schedule", "speech_denoiser", "speech_encoder"),
    *("stage3", "transformer", "wave_encoder"),
)
_JUDGED = _modules(
    *("edit", "generation_measure", "generation_stage", "generation_trials", "guidance", "guided"),
    *("heard", "longform", "metrics", "sampler", "timeline"),
)
_LOOP = ("lithe.training", "lithe.data.seeding")
SOURCES = (*_WORLD, *_BEFORE, *_STAGE3, *_JUDGED, *_LOOP)
#: Fields that stages 1 and 2 do not look at.
LATER = {
    *("window", "stride", "from_start", "denoiser_width", "denoiser_layers", "speech", "draws"),
    *("epochs", "batch", "lr", "ema", "performers", "seconds", "steps"),
}


class _Experiments(Experiments[GenerationConfig]):
    paper, notebook, config = "syntalker", "08_syntalker_control", GenerationConfig

    def jobs(self, config: GenerationConfig) -> Iterator[Job]:
        for seed in config.seeds:
            yield BASE, seed
            yield from ((f"{PREFIX}{name}", seed) for name in config.variants)
            if config.sweeps:
                yield SWEEPS, seed

    def sources(self, experiment: str) -> Sequence[str]:
        return SOURCES

    def needs(self, config: GenerationConfig, job: Job) -> Sequence[Job]:
        if job[0] == BASE:
            return ()
        return ((BASE, job[1]), *(((FULL, job[1]),) if job[0] == SWEEPS else ()))

    def params(self, config: GenerationConfig, job: Job, root: str | Path | None) -> dict[str, Any]:
        chosen = config.model_dump(mode="json", exclude=SELECTION | {"sweeps"})
        if job[0] == BASE:
            return {key: value for key, value in chosen.items() if key not in LATER}
        name = "full" if job[0] == SWEEPS else job[0].removeprefix(PREFIX)
        return chosen | {"variant": VARIANTS[name].model_dump(mode="json")}

    def measure(self, config: GenerationConfig, job: Job, root: str | Path | None) -> Measured:
        name, seed = job
        base = self.base(config, seed)
        data = scene(config).described()
        if name == BASE:
            return Measured(base.metrics, None, data)
        if name == SWEEPS:
            bundle, _, _ = self.trained(config, "full", seed)
            return Measured(sweep(config, bundle, seed), None, data)
        variant = name.removeprefix(PREFIX)
        bundle, last, history = self.trained(config, variant, seed)
        metrics = trial(config, bundle, seed, whole=variant == "full")
        metrics["train_loss"] = history.last["train_loss"]
        metrics["parameters"] = sum(p.numel() for p in bundle.network.parameters())
        if variant == "full":
            metrics |= real(config, bundle)
            metrics |= {f"last_{k}": v for k, v in _ends(config, last, seed).items()}
        data.append({"name": "bundle", "sha256": bundle.fingerprint})
        return Measured(metrics, {"train_loss": history["train_loss"]}, data)

    def base(self, config: GenerationConfig, seed: int) -> Foundation:
        """Stages 1 and 2 of a seed: trained, or read back."""
        return foundation(config, seed, self.checkpoints(config, (BASE, seed)))

    def trained(
        self, config: GenerationConfig, variant: str, seed: int
    ) -> tuple[Bundle, Bundle, History]:
        """One variant: trained, or read back; see :func:`contend`."""
        place = self.checkpoints(config, (f"{PREFIX}{variant}", seed))
        return contend(config, variant, seed, self.base(config, seed), place)


EXPERIMENTS = _Experiments()
run = EXPERIMENTS.run


def _ends(config: GenerationConfig, last: Bundle, seed: int) -> dict[str, Any]:
    """What the last weights can do, without the average over the end of the training."""
    found = trial(config, last, seed, whole=False)
    return {key: found[key] for key in ("separate_action", "separate_beat", "separate_joint")}


def trained(config: GenerationConfig, variant: str = "full", seed: int = 0) -> Bundle:
    """The weights of one variant, without a record; the averaged ones.

    Args:
        config: of the run.
        variant: a key of ``VARIANTS``.
        seed: of everything random.
    """
    return EXPERIMENTS.trained(config, variant, seed)[0]


def _parser() -> argparse.ArgumentParser:
    parser = EXPERIMENTS.parser(__doc__)
    parser.prog = "python -m lithe.syntalker.generation_run"
    add = parser.add_argument
    add("--keep", type=Path, help="folder for the weights of the variant full, first seed")
    add("--key", choices=["denoiser"], help="train stage 3 at full length")
    add("--speech-folder", type=Path, help="motion, sound and words of people who talk")
    add("--motion-folder", type=Path, help="features in the layout of HumanML3D")
    add("--codec", type=Path, help="trained stage 1, as lithe.syntalker.run --key rvq keeps it")
    add("--space", type=Path, help="trained stage 2, as lithe.syntalker.run --key tmr keeps it")
    add("--seed", type=whole_number, default=0, help="0 or more")
    add("--text", default="hashing", help="the language model of the space")
    add("--text-sha256", help="of its weights")
    add("--dry-run", action="store_true", help="one step at real shapes on made-up motion")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Command line; see the module's text.

    Returns:
        0 on success, 1 when a run failed, 2 when the request makes no sense, 130 on Ctrl-C.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.keep is None or options.key:
        if options.keep:
            parser.error("--keep belongs to a config or a profile; --key keeps its own model")
        return EXPERIMENTS.command(parser, arguments, _row)
    if (options.config is None) == (options.profile is None):
        parser.error("give a config file or --profile, and only one of them")
    return exit_code(lambda: _keep(options))


def _keep(options: argparse.Namespace) -> None:
    """Run, then write the weights."""
    config = (
        read_config(options.config, GenerationConfig)
        if options.config
        else profiles.load(EXPERIMENTS.notebook, options.profile, GenerationConfig)
    )
    if "full" not in config.variants:
        raise ValueError("--keep writes the variant full, which this config leaves out")
    print("\n".join(run(config)))
    print(trained(config, "full", config.seeds[0]).save(options.keep))


def _row(options: argparse.Namespace) -> None:
    from lithe.syntalker.stage3_full import dry_run, full

    if options.dry_run:
        print(json.dumps(dry_run().to_dict(), indent=1))
        return
    needed = {"speech_folder", "motion_folder", "codec", "space"}
    missing = [f"--{key.replace('_', '-')}" for key in sorted(needed) if not getattr(options, key)]
    if missing:
        raise ValueError(f"--key denoiser needs {', '.join(missing)}")
    text = GenerationConfig(text=options.text, text_sha256=options.text_sha256).text_encoder()
    runs = ledger.book_root().parent / "runs"
    folders = (options.speech_folder, options.motion_folder, options.codec, options.space)
    print(full(*folders, text, options.seed, runs))


if __name__ == "__main__":
    sys.exit(main())
