"""What the movers are said to do: several sentences for every action, one kept for testing."""

from __future__ import annotations

import numpy as np

__all__ = ["ACTIONS", "HELD_OUT", "LOWER", "SIDES", "TEMPLATES", "UPPER", "caption", "held_out"]

#: Actions of the legs and of the arms; one clip holds one of either and never both.
LOWER = (
    "walk",
    "walk back",
    "walk in a curve",
    "turn",
    "sidestep",
    "sit",
    "kneel",
    "squat",
    "jump",
)
UPPER = ("raise", "raise both", "wave", "point", "clap", "bow")
ACTIONS = (*LOWER, *UPPER, "stand")
#: Actions that are done to one side; the side is part of what is asked for.
SIDES = ("walk in a curve", "turn", "sidestep", "kneel", "raise", "wave", "point")

#: ``{who}`` does it ``{how}`` (or nothing is said about how) to the ``{side}``.
TEMPLATES: dict[str, tuple[str, ...]] = {
    "walk": (
        "{who} walks forward{how}",
        "{who} is walking straight ahead{how}",
        "{who} starts to walk forward{how}",
        "{who} takes some steps forward{how}",
    ),
    "walk back": (
        "{who} walks backward{how}",
        "{who} is walking back{how}",
        "{who} starts to walk backward{how}",
        "{who} takes some steps back{how}",
    ),
    "walk in a curve": (
        "{who} walks in a curve to the {side}{how}",
        "{who} is walking around to the {side}{how}",
        "{who} takes some steps in a curve to the {side}{how}",
        "{who} walks forward and turns {side}{how}",
    ),
    "turn": (
        "{who} turns to the {side} on the spot{how}",
        "{who} turns {side}{how}",
        "{who} is turning around to the {side}{how}",
        "{who} stands and turns to the {side}{how}",
    ),
    "sidestep": (
        "{who} steps sideways to the {side}{how}",
        "{who} sidesteps to the {side}{how}",
        "{who} is stepping sideways to the {side}{how}",
        "{who} takes some steps sideways to the {side}{how}",
    ),
    "sit": (
        "{who} sits down{how}",
        "{who} is sitting down on a chair{how}",
        "{who} takes a seat on a chair{how}",
        "{who} sits down and stays on the seat{how}",
    ),
    "kneel": (
        "{who} kneels down on the {side} knee{how}",
        "{who} is kneeling on the {side} knee{how}",
        "{who} puts the {side} knee on the floor{how}",
        "{who} kneels on the floor on the {side} knee{how}",
    ),
    "squat": (
        "{who} squats down{how}",
        "{who} does a squat{how}",
        "{who} is squatting down{how}",
        "{who} bends both knees and squats{how}",
    ),
    "jump": (
        "{who} jumps{how}",
        "{who} is jumping up{how}",
        "{who} bends both knees and jumps up{how}",
        "{who} jumps up{how}",
    ),
    "raise": (
        "{who} raises the {side} hand{how}",
        "{who} lifts the {side} arm up{how}",
        "{who} is raising the {side} arm{how}",
        "{who} lifts the {side} hand up{how}",
    ),
    "raise both": (
        "{who} raises both hands{how}",
        "{who} lifts both arms up{how}",
        "{who} is raising both arms{how}",
        "{who} lifts both hands up{how}",
    ),
    "wave": (
        "{who} waves with the {side} hand{how}",
        "{who} is waving the {side} hand{how}",
        "{who} waves hello with the {side} arm{how}",
        "{who} lifts the {side} hand and waves{how}",
    ),
    "point": (
        "{who} points forward with the {side} hand{how}",
        "{who} is pointing ahead with the {side} arm{how}",
        "{who} points at something with the {side} hand{how}",
        "{who} lifts the {side} hand and points forward{how}",
    ),
    "clap": (
        "{who} claps{how}",
        "{who} is clapping both hands{how}",
        "{who} claps with both hands{how}",
        "{who} lifts both hands and claps{how}",
    ),
    "bow": (
        "{who} bows{how}",
        "{who} takes a bow{how}",
        "{who} is bowing forward{how}",
        "{who} bends forward and bows{how}",
    ),
    "stand": (
        "{who} stands still",
        "{who} is standing on the spot",
        "{who} stays still",
        "{who} stands and stays on the spot",
    ),
}
#: Which template of each action no clip is given to learn from.
HELD_OUT = 3
WHO = ("a person", "a man", "a woman", "someone", "the person")
HOW = {"slow": (" slowly", " at a slow pace"), "normal": ("", ""), "fast": (" quickly", " fast")}
#: Actions that mean something of the body besides one side.
ALSO_BOTH = {"raise both", "clap"}


def caption(action: str, pace: str, side: str | None, rng: np.random.Generator) -> str:
    """One sentence to learn from, drawn from the templates that are not held out.

    Args:
        action: one of :data:`ACTIONS`.
        pace: ``"slow"``, ``"normal"`` or ``"fast"``.
        side: ``"left"`` or ``"right"``, for the actions of :data:`SIDES`.
        rng: draws the words.
    """
    known = [t for k, t in enumerate(TEMPLATES[action]) if k != HELD_OUT]
    return _filled(known[rng.integers(len(known))], pace, side, rng)


def held_out(action: str, pace: str, side: str | None, rng: np.random.Generator) -> str:
    """The sentence kept for testing; each of its words occurs in sentences that are not."""
    return _filled(TEMPLATES[action][HELD_OUT], pace, side, rng)


def _filled(template: str, pace: str, side: str | None, rng: np.random.Generator) -> str:
    who, how = WHO[rng.integers(len(WHO))], HOW[pace][rng.integers(2)]
    return template.format(who=who, how=how, side=side)
