"""Who performs what: the trials of the chapters on generating, on one stage each.

Source: SynTalker spec 11.3-11.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from lithe.data import generator_for
from lithe.syntalker import h3d
from lithe.syntalker.bundle import Bundle
from lithe.syntalker.captions import LOWER
from lithe.syntalker.generation_contest import scene, untrained
from lithe.syntalker.generation_material import asked
from lithe.syntalker.generation_measure import (
    coherence,
    fidelity,
    judged,
    rate,
    score,
)
from lithe.syntalker.generation_settings import GenerationConfig
from lithe.syntalker.generation_stage import Made, Stage, motion_prompts
from lithe.syntalker.longform import Windowing, joins
from lithe.syntalker.metrics import foot_skate, jitter
from lithe.syntalker.metrics.attributes import lower_action
from lithe.syntalker.sampler import Sampling

__all__ = ["STEPS", "STRENGTHS", "real", "sweep", "trial"]

Metrics = dict[str, Any]
UNTRAINED = 5  # random stream
#: Steps of the sweep: second order over trailing steps, and as released.
STEPS = {"dpm": (2, 4, 8, 16), "ddim": (4, 8, 20, 50)}
STRENGTHS = (1.0, 2.0, 4.0, 7.0)


def trial(config: GenerationConfig, bundle: Bundle, seed: int, whole: bool) -> Metrics:
    """What a variant can do: talk, do what it is asked with its legs, and both.

    Args:
        config: of the run.
        bundle: the variant.
        seed: of the noise.
        whole: all samplers and parts of the body, not only those that every variant is asked for.

    Returns:
        Metrics of :func:`lithe.syntalker.generation_measure.score` by sampler
        (``separate_action``); ``audio_only_frechet``; and with ``whole`` those of the arms.
    """
    stage = _stage(config, bundle, seed)
    tasks = asked(config.actions, "lower", len(stage))
    wanted, texts = [task for task, _ in tasks], [text for _, text in tasks]
    made: dict[str, Made] = {}
    for name in ("separate", "whole_body", "audio_only"):
        made[name] = _made(config, stage, bundle, texts, guidance=name)
    places = motion_prompts(bundle, scene(config), wanted, config.window)
    if places is not None:
        made["embedding"] = _made(config, stage, bundle, places)
    metrics: Metrics = {}
    if whole:
        made |= _others(config, stage, bundle, texts, made["audio_only"], seed)
        metrics |= _arms(config, stage, bundle, texts, wanted)
    for name, one in made.items():
        metrics |= _named(name, score(one.positions, wanted, stage.beats))
        metrics |= _named(name, _body(one))
    normaliser = bundle.codec.normaliser
    metrics |= _frechet(config, stage, made["audio_only"], normaliser)
    walking = [k for k, (action, _) in enumerate(wanted) if action == "walk"]
    for name in ("separate", "whole_body", "stitched"):
        if name in made and walking:
            value = coherence(made[name].positions[walking])
            metrics[f"{name}_coherence"] = {"value": value, "unit": "", "n": len(walking)}
    return metrics


def _stage(config: GenerationConfig, bundle: Bundle, seed: int) -> Stage:
    return Stage(bundle, scene(config), config.performers, config.seconds, seed)


def _made(config: GenerationConfig, stage: Stage, bundle: Bundle, texts: Any, **how: Any) -> Made:
    return stage.perform(bundle, {"lower": texts}, **({"sampling": config.sampling} | how))


def _others(
    config: GenerationConfig, stage: Stage, bundle: Bundle, texts: Any, talk: Made, seed: int
) -> dict[str, Made]:
    """Samplers that only the full method is asked to show."""
    made = {
        name: _made(config, stage, bundle, texts, guidance=name)
        for name in ("prompt_only", "joint")
    }
    elsewhere = _made(config, stage, bundle, texts, guidance="prompt_only", again=1)
    made["stitched"] = stage.stitched(bundle, elsewhere, talk)
    blank = replace(bundle, space=untrained(bundle.space, generator_for(seed, UNTRAINED)))
    made["untrained_text"] = _made(config, stage, blank, texts)
    return made


def _arms(
    config: GenerationConfig, stage: Stage, bundle: Bundle, legs: list[str], wanted: Any
) -> Metrics:
    """Prompts of the arms, alone, together with those of the legs, and as one sentence."""
    tasks = asked(config.actions, "upper", len(stage))
    arms, texts = [task for task, _ in tasks], [text for _, text in tasks]
    together = [f"{leg} and {arm.split(' ', 2)[2]}" for leg, arm in zip(legs, map(_who, texts))]
    how = {"sampling": config.sampling}
    alone = stage.perform(bundle, {"upper": texts}, **how)
    both = stage.perform(bundle, {"lower": legs, "upper": texts}, **how)
    concatenated = stage.perform(bundle, {"body": together}, guidance="whole_body", **how)
    found = judged(alone.positions)
    n, still = len(stage), np.array([lower_action(one)[0] == "stand" for one in found])
    metrics = {
        "upper_action": _share(rate(found, arms, "upper").mean(), n),
        "upper_legs_still": _share(still.mean(), n),
    }
    for name, one in (("both", both), ("concatenated", concatenated)):
        found = judged(one.positions)
        low, high = rate(found, wanted), rate(found, arms, "upper")
        metrics |= {
            f"{name}_lower": _share(low.mean(), n),
            f"{name}_upper": _share(high.mean(), n),
            f"{name}_success": _share((low & high).mean(), n),
        }
    return metrics


def _who(text: str) -> str:
    """A sentence whose first two words are who does it."""
    return text if text.split(" ", 1)[0] in ("a", "the") else f"a {text}"


def _body(made: Made) -> Metrics:
    """What a body cannot hide."""
    n = len(made.positions)
    slide = np.mean([foot_skate(clip) for clip in made.positions])
    shake = np.mean([jitter(clip) for clip in made.positions])
    return {
        "skate": {"value": float(slide), "unit": "m/s", "n": n},
        "jitter": {"value": float(shake), "unit": "m/s^3", "n": n},
    }


def _frechet(config: GenerationConfig, stage: Stage, talk: Made, normaliser: Any) -> Metrics:
    """Distance of talk without prompts to unseen real talk: the price of the second corpus."""
    value = fidelity(list(talk.features), stage.real, normaliser)
    return {"audio_only_frechet": {"value": value, "unit": "", "n": len(stage)}}


def real(config: GenerationConfig, bundle: Bundle) -> Metrics:
    """The same measures on real motion, and on what the codec leaves of it: what can be had.

    Args:
        config: of the run.
        bundle: any variant; only its codec counts.
    """
    stage, world = _stage(config, bundle, 0), scene(config)
    whole = torch.stack(stage.real)
    kept = bundle.codec.reconstruct(whole)
    metrics: Metrics = {}
    for name, features in (("real", whole), ("codec", kept)):
        positions = stage.shown(bundle, bundle.codec.encode(_even(features))).positions
        if name == "real":
            positions = _recovered(features)
        talking = score(positions, [("stand", None)] * len(stage), stage.beats)
        metrics |= _named(name, {k: talking[k] for k in ("beat", "mismatched", "stands")})
        others = [c.features[: stage.frames] for c in world.talkers[: len(stage)]]
        value = fidelity(list(features), others, bundle.codec.normaliser)
        metrics[f"{name}_frechet"] = {"value": value, "unit": "", "n": len(stage)}
    metrics |= _movers(config, bundle)
    return metrics


def _movers(config: GenerationConfig, bundle: Bundle) -> Metrics:
    """How often the rules see the action of unseen movers, real and through the codec."""
    world, metrics = scene(config), Metrics()
    for name, change in (
        ("real", lambda x: x),
        ("codec", lambda x: bundle.codec.reconstruct(x[None])[0]),
    ):
        right = []
        for does, clip in zip(world.does, world.unseen_movers, strict=True):
            part = "lower" if does[0] in (*LOWER, "stand") else "upper"
            found = judged(_recovered(change(clip.features))[None])
            right.append(rate(found, [does], part)[0])
        metrics[f"{name}_action"] = _share(np.mean(right), len(right))
    return metrics


def sweep(config: GenerationConfig, bundle: Bundle, seed: int) -> Metrics:
    """Steps, strengths, and how windows join, with one network.

    Args:
        config: of the run.
        bundle: the full variant.
        seed: of the noise.

    Returns:
        ``dpm_8_action``, ``dpm_8_beat``, ``strength_4_joint``, ``join_at`` and so on.
    """
    stage = _stage(config, bundle, seed)
    tasks = asked(config.actions, "lower", len(stage))
    wanted, texts = [task for task, _ in tasks], [text for _, text in tasks]
    metrics: Metrics = {}
    for method, counts in STEPS.items():
        spacing = "trailing" if method == "dpm" else "leading"
        for steps in counts:
            sampling = Sampling(steps=steps, method=method, spacing=spacing)
            one = _made(config, stage, bundle, texts, sampling=sampling)
            metrics |= _brief(f"{method}_{steps}", one, wanted, stage)
            value = fidelity(list(one.features), stage.real, bundle.codec.normaliser)
            metrics[f"{method}_{steps}_frechet"] = {"value": value, "unit": "", "n": len(stage)}
    for strength in STRENGTHS:
        one = _made(config, stage, bundle, texts, strength=strength)
        metrics |= _brief(f"strength_{strength:g}", one, wanted, stage)
    for name, clamp in (("join", False), ("clamped_join", True)):
        one = _made(config, stage, bundle, texts, clamp_seed=clamp)
        metrics |= _named(name, _joins(bundle, stage, one))
    return metrics


def _brief(name: str, made: Made, wanted: Any, stage: Stage) -> Metrics:
    found = score(made.positions, wanted, stage.beats)
    return _named(name, {key: found[key] for key in ("action", "beat", "mismatched", "joint")})


def _joins(bundle: Bundle, stage: Stage, made: Made) -> Metrics:
    """Movement into the first frame of a window, and everywhere else, mm."""
    edges = Windowing(bundle.latents, bundle.network.config.seed).edges(stage.frames)
    if not edges:
        return {}
    found = [joins(torch.from_numpy(clip), edges) for clip in made.positions]
    n = len(found) * len(edges)
    pick: dict[str, Callable[[Any], float]] = {
        "at": lambda seam: seam.at,
        "elsewhere": lambda seam: seam.elsewhere,
    }
    return {
        name: {"value": 1000 * float(np.mean([of(seam) for seam in found])), "unit": "mm", "n": n}
        for name, of in pick.items()
    }


def _recovered(features: torch.Tensor) -> np.ndarray:
    return h3d.recover(features.numpy())


def _even(features: torch.Tensor) -> torch.Tensor:
    missing = -features.shape[1] % 4
    return torch.cat([features, features[:, -1:].expand(-1, missing, -1)], 1)


def _named(name: str, metrics: Metrics) -> Metrics:
    return {f"{name}_{key}": value for key, value in metrics.items()}


def _share(value: float, n: int) -> Metrics:
    return {"value": 100 * float(value), "unit": "%", "n": n}
