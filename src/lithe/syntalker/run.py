"""Everything that the chapters on motion and on the aligned space measure.

``python -m lithe.syntalker.run config.json`` runs a config, ``--profile small`` that of the
chapter on motion. ``python -m lithe.syntalker.run --key rvq --data-folder FOLDER`` trains a stage
at the released size and length, alone or by torchrun.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lithe import data, ledger
from lithe.experiments import Experiments, Job, Measured, whole_number
from lithe.syntalker import metric_exhibits
from lithe.syntalker.ablations import Outcome, contend_codec, contend_space
from lithe.syntalker.exhibits import EXHIBITS
from lithe.syntalker.material import corpus
from lithe.syntalker.recipes import RECIPES, dry_run, full
from lithe.syntalker.settings import Config

__all__ = ["EXPERIMENTS", "Config", "full", "outcome", "run"]


def _modules(*names: str) -> tuple[str, ...]:
    return tuple(f"lithe.syntalker.{name}" for name in names)


_FEATURES = _modules(
    *("ablations", "autoencoder", "bvh", "captions", "clips", "first_weights", "h3d", "ik"),
    *("kinematics", "material", "motion", "movers", "noise", "normaliser", "retarget", "skeleton"),
    *("sound", "talkers", "vocabulary", "voice", "world", "world_arms", "world_pose"),
    "world_steps",
)
_CODEC = _modules(
    *("codebook", "quantizer", "processes", "vqvae", "codec", "seams", "settings", "stage1")
)
_SPACE = _modules(
    *("embedding_cache", "losses", "minilm", "retrieval", "settings", "space", "stage2", "text"),
    "tmr",
)
_SHOWN = _modules(
    *("autoencoder", "codec", "codebook", "quantizer", "tmr", "vqvae", "model_exhibits"),
    *("data_exhibits", "amplitude", "sound", "h3d", "kinematics", "skeleton"),
)
_MEASURED = _modules(
    *("metric_exhibits", "metrics", "corpora", "smplx", "amplitude", "speech", "words", "losses"),
    *("text", "captions", "movers", "talkers", "voice", "world", "world_arms", "world_pose"),
    *("world_steps", "ik", "noise", "kinematics", "skeleton", "motion", "bvh", "retarget", "sound"),
    *("rotation", "npz", "vocabulary"),
)
#: Modules that decide each kind of record.
SOURCES = {
    "codec": (*_FEATURES, *_CODEC, "lithe.training", "lithe.data.seeding"),
    "space": (*_FEATURES, *_SPACE, "lithe.training", "lithe.data.seeding"),
    "exhibit": _SHOWN,
    "metrics": _MEASURED,
}
CODEC_FIELDS = {"clips", "held_out", "width", "latent", "layers", "codes", "window", "stride"} | {
    *("codec_epochs", "codec_batch", "codec_lr")
}
SPACE_FIELDS = {"clips", "held_out", "space_width", "space_layers", "frames", "space_epochs"} | {
    *("space_batch", "space_lr", "text", "text_sha256")
}


class _Experiments(Experiments[Config]):
    paper, notebook, config = "syntalker", "05_syntalker_motion", Config

    def jobs(self, config: Config) -> Iterator[Job]:
        for name in config.exhibits:
            yield name, 0
        for seed in config.seeds:
            for name in config.data:
                yield from ((f"{name}-codec-{variant}", seed) for variant in config.codecs)
                yield from ((f"{name}-space-{variant}", seed) for variant in config.spaces)

    def sources(self, experiment: str) -> Sequence[str]:
        if experiment in metric_exhibits.EXHIBITS:
            return SOURCES["metrics"]
        return SOURCES["exhibit" if experiment in EXHIBITS else _parts(experiment)[1]]

    def params(self, config: Config, job: Job, root: str | Path | None) -> dict[str, Any]:
        if job[0] in EXHIBITS:
            return {"exhibit": job[0]}
        name, kind, variant = _parts(job[0])
        fields = CODEC_FIELDS if kind == "codec" else SPACE_FIELDS
        left_out = {"clips", "held_out"} if name == "cmu" else set()
        chosen = config.model_dump(mode="json", include=fields - left_out)
        return chosen | {"data": name, "variant": variant}

    def measure(self, config: Config, job: Job, root: str | Path | None) -> Measured:
        if job[0] in EXHIBITS:
            return Measured(*EXHIBITS[job[0]]())
        name, kind, variant = _parts(job[0])
        found = outcome(config, kind, name, variant, job[1])
        return Measured(found.metrics, found.curves, _corpus(config, kind, name).described())


EXPERIMENTS = _Experiments()
run = EXPERIMENTS.run


def _parts(experiment: str) -> tuple[str, str, str]:
    """Corpus, kind and variant."""
    name, kind, variant = experiment.split("-", 2)
    return name, kind, variant


def _corpus(config: Config, kind: str, name: str) -> Any:
    split = "recording" if kind == "codec" else "piece"
    return corpus(name, config.clips, config.held_out, split)


def outcome(
    config: Config, kind: str = "codec", name: str = "world", variant: str = "", seed: int = 0
) -> Outcome:
    """Train one model and measure it, without a record.

    Args:
        config: of the run.
        kind: ``"codec"`` or ``"space"``.
        name: of the corpus.
        variant: a key of ``CODECS`` or ``SPACES``; ``"parts"`` or ``"corrected"`` by default.
        seed: of first weights, order and everything random.
    """
    used = _corpus(config, kind, name)
    variant = variant or {"codec": "parts", "space": "corrected"}[kind]
    place = EXPERIMENTS.checkpoints(config, (f"{name}-{kind}-{variant}", seed))
    if kind == "codec":
        return contend_codec(
            variant,
            used,
            config.codec_config(),
            config.codec_training(seed),
            window=config.window,
            stride=config.stride,
            directory=place,
        )
    return contend_space(
        variant,
        used,
        config.text_encoder(),
        config.space_config(),
        config.space_training(seed),
        most=config.frames,
        cache=None if config.text == "hashing" else _runs() / "embeddings",
        directory=place,
    )


def _runs() -> Path:
    """``runs`` lies beside the book, wherever the notebook or the command was started."""
    return ledger.book_root().parent / "runs"


def _parser() -> argparse.ArgumentParser:
    parser = EXPERIMENTS.parser(__doc__)
    parser.add_argument("--key", choices=list(RECIPES), help="train this stage at full length")
    parser.add_argument("--data-folder", help="features in the layout of HumanML3D")
    parser.add_argument("--seed", type=whole_number, default=0, help="0 or more")
    parser.add_argument("--text", default="hashing", help="the language model of --key tmr")
    parser.add_argument("--text-sha256", help="of its weights")
    parser.add_argument("--dry-run", action="store_true", help="two steps on made-up motion")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Command line; see the module's text.

    Returns:
        0 on success, 1 when a run failed, 2 when the request makes no sense, 130 on Ctrl-C.
    """
    return EXPERIMENTS.command(_parser(), arguments, _row)


def _row(options: argparse.Namespace) -> None:
    if options.dry_run:
        print(json.dumps(dry_run(options.key).to_dict(), indent=1))
    elif not options.data_folder:
        raise data.DataError("--key needs --data-folder: features in the layout of HumanML3D")
    else:
        text = Config(text=options.text, text_sha256=options.text_sha256).text_encoder()
        print(full(options.key, options.data_folder, options.seed, text, _runs()))


if __name__ == "__main__":
    sys.exit(main())
