"""One set of layers whose widths hang together, and how it reads in print."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Group"]


@dataclass(frozen=True)
class Group:
    """Layers whose widths hang together.

    Attributes:
        producers: convolutions and linear layers that make the channels, with their widths.
        consumers: those that read (and mix) them.
        travellers: norms, slopes, depthwise convolutions and parameters cut along with them.
        cuttable: whether any channel may be dropped.
        reasons: why not, or why not all; empty when every channel may be dropped.
    """

    producers: dict[str, int]
    consumers: tuple[str, ...]
    travellers: tuple[str, ...]
    cuttable: bool
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        widths = ", ".join(f"{name} ({width})" for name, width in self.producers.items())
        lines = [f"{'cuttable' if self.cuttable else 'fixed':<9}{widths}"]
        for title, names in (("with", self.travellers), ("read by", self.consumers)):
            if names:
                lines.append(f"    {title:<8}{', '.join(names)}")
        lines += [f"    {'partly: ' if self.cuttable else 'because '}{r}" for r in self.reasons]
        return "\n".join(lines)
