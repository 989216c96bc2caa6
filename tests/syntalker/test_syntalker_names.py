"""The names that the room promises are there, and mean what they say in any order of imports."""

from __future__ import annotations

import importlib
import inspect

import pytest

from lithe import syntalker


@pytest.mark.parametrize("name", syntalker.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(syntalker, name) is not None
    assert name in dir(syntalker)


@pytest.mark.parametrize("name", sorted(syntalker._LATER))
def test_names_that_come_later_are_no_modules(name: str) -> None:
    """A submodule of the same name would take the name's place once it is imported."""
    importlib.import_module(f"lithe.syntalker.{syntalker._LATER[name]}")
    assert importlib.util.find_spec(f"lithe.syntalker.{name}") is None
    assert not inspect.ismodule(getattr(syntalker, name))


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(AttributeError, match=r"has no .nothing.; it has .*Motion"):
        _ = syntalker.nothing
