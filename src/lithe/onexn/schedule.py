"""How the sparsity rises when a network is pruned little by little."""

from __future__ import annotations

from lithe.onexn.budget import check_sparsity

__all__ = ["cubic_sparsity"]


def cubic_sparsity(
    step: float, start: float, end: float, final: float, initial: float = 0.0
) -> float:
    """Sparsity at a step: fast at first, when much is redundant, and ever slower.

    ``s(t) = s_f + (s_0 - s_f) (1 - (t - t_0) / (t_1 - t_0))^3``

    Source: Zhu and Gupta, "To prune, or not to prune" (2017), equation 1. The 1xN paper prunes
    at one stroke.

    Args:
        step: ``t``, in steps or epochs.
        start: ``t_0``; before it the sparsity is ``initial``.
        end: ``t_1``, after ``start``; from it on the sparsity is ``final``.
        final: ``s_f``, in [0, 1).
        initial: ``s_0``, in [0, ``final``].

    Returns:
        Share to drop, from ``initial`` to ``final``.

    Raises:
        ValueError: an argument out of range.
    """
    check_sparsity(final)
    if not 0 <= initial <= final:
        raise ValueError(f"initial is {initial!r}; it must be in [0, {final}]")
    if not start < end:
        raise ValueError(f"start is {start!r} and end {end!r}; the end must come later")
    if step != step:
        raise ValueError("step is NaN; it must be a number")
    done = min(max((step - start) / (end - start), 0.0), 1.0)
    return final if done == 1.0 else final + (initial - final) * (1 - done) ** 3
