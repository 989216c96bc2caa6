"""SynTalker: full-body motion from speech and prompts.

Written from the method's description (``SynTalker spec`` in the docstrings). Motion is in metres,
y up; ``t`` frames, ``j`` joints, ``d`` features. Skeletons, motion, files and the player load with
the room; speech, world, models and metrics when they are first asked for.
"""

from importlib import import_module
from typing import Any

from lithe.syntalker import h3d
from lithe.syntalker.kinematics import fit_skeleton, fk, rotations_from, world_rotations
from lithe.syntalker.motion import Motion, Prompt
from lithe.syntalker.retarget import retarget
from lithe.syntalker.rotation import (
    axis_angle,
    from_axis_angle,
    from_rotation_6d,
    rotation_6d,
)
from lithe.syntalker.skeleton import BODY, BODY_HANDS, PART_JOINTS, Skeleton, skeleton_for
from lithe.syntalker.viewer import Viewer

# Not among them: a name that is also a module's (`talkers`), which would hide one behind the other.
_LATER = {
    # speech
    "Speech": "speech",
    "Word": "words",
    "amplitude_onset": "amplitude",
    "read_words": "words",
    "speech_features": "speech",
    # corpora
    "Clip": "world",
    "beat2": "corpora",
    "cmu": "corpora",
    "mover": "world",
    "talker": "world",
    # models
    "AlignedSpace": "space",
    "BodyCodec": "codec",
    "CodecConfig": "vqvae",
    "HashingEncoder": "text",
    "MotionVQ": "vqvae",
    "ResidualQuantizer": "quantizer",
    "SentenceEncoder": "minilm",
    "SpaceConfig": "space",
    # diffusion
    "Denoiser": "denoiser",
    "DenoiserConfig": "denoiser",
    "FEW_STEPS": "sampler",
    "Sampling": "sampler",
    "Schedule": "schedule",
    "SpeechDenoiser": "speech_denoiser",
    "combine": "guidance",
    "cosine_schedule": "schedule",
    "ddim_step": "diffusion",
    "q_sample": "diffusion",
    "sample": "sampler",
    # everyday use
    "Bundle": "bundle",
    "BundleError": "bundle",
    "Generation": "longform",
    "Keep": "pipeline",
    "Stream": "streaming",
    "Take": "pipeline",
    "Timeline": "timeline",
    "Windowing": "longform",
    "generate": "pipeline",
    "joins": "longform",
    "keep": "edit",
    "pretrained": "bundle",
    "stream": "pipeline",
    "take": "pipeline",
}

__all__ = [
    "BODY",
    "BODY_HANDS",
    "PART_JOINTS",
    "Motion",
    "Prompt",
    "Skeleton",
    "Viewer",
    "axis_angle",
    "fit_skeleton",
    "fk",
    "from_axis_angle",
    "from_rotation_6d",
    "h3d",
    "metrics",
    "retarget",
    "rotation_6d",
    "rotations_from",
    "skeleton_for",
    "world_rotations",
    *_LATER,
]


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return import_module("lithe.syntalker.metrics")
    if name in _LATER:
        return getattr(import_module(f"lithe.syntalker.{_LATER[name]}"), name)
    raise AttributeError(f"lithe.syntalker has no {name!r}; it has {', '.join(sorted(__all__))}")


def __dir__() -> list[str]:
    return sorted(__all__)
