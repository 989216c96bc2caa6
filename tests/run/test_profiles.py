from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from lithe import profiles
from lithe.profiles import ProfileError, load, parse_yaml


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    profile: str = ""
    epochs: int = Field(ge=1)
    lr: float = 0.1
    widths: tuple[int, ...] = ()
    tag: str = ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    params = tmp_path / "notebooks" / "params" / "01_tiny"
    params.mkdir(parents=True)
    (params / "smoke.yaml").write_text("epochs: 1\nlr: 1e-3\nwidths: [4, 8]\ntag: no\n")
    (params / "small.yaml").write_text("epochs: 20\nlr: '1e-2'\n")
    return tmp_path / "notebooks"


def test_a_profile_fills_the_config(folder: Path):
    config = load("01_tiny", "smoke", Config, folder=folder)
    assert config == Config(profile="smoke", epochs=1, lr=1e-3, widths=(4, 8), tag="no")


def test_overrides_win_and_numbers_in_quotes_are_read(folder: Path):
    config = load("01_tiny", "small", Config, folder=folder, epochs="3")
    assert (config.epochs, config.lr) == (3, 0.01)


def test_the_folder_is_found_from_inside_and_from_beside(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    for place in (folder, folder.parent, folder / "params"):
        monkeypatch.chdir(place)
        assert load("01_tiny", "smoke", Config).epochs == 1


@pytest.mark.parametrize(
    ("arguments", "overrides", "message"),
    [
        (("01_tiny", "small_"), {}, "unknown profile 'small_'.*did you mean 'small'"),
        (("01_tiny", "full"), {}, r"has no profile 'full' \(there: small, smoke\)"),
        (("01_tini", "smoke"), {}, "no profiles for notebook '01_tini'.*did you mean '01_tiny'"),
        (("../01_tiny", "smoke"), {}, "not a plain name"),
        (("01_tiny", "smoke"), {"epoch": 2}, "unknown key 'epoch'; did you mean 'epochs'"),
        (("01_tiny", "smoke"), {"epochs": 0}, "epochs = 0: Input should be greater"),
        (("01_tiny", "smoke"), {"lr": "fast"}, "lr = 'fast': "),
    ],
)
def test_bad_requests_are_refused(folder: Path, arguments: tuple, overrides: dict, message: str):
    with pytest.raises(ProfileError, match=message):
        load(*arguments, Config, folder=folder, **overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: 1\nwidth: [4]\n", "unknown key 'width'; did you mean 'widths'"),
        ("epochs: 1\nepochs: 2\n", "'epochs' is written twice"),
        ("- 1\n", "expected 'key: value' lines"),
        ("epochs: [1\n", "not readable as YAML"),
        ("epochs: !!python/object/apply:os.getcwd []\n", "not readable as YAML"),
        ("1: 2\n", "key 1 is not a string"),
        ("", "epochs = .*Field required"),
    ],
)
def test_bad_files_are_refused_by_name(folder: Path, text: str, message: str):
    (folder / "params" / "01_tiny" / "smoke.yaml").write_text(text)
    with pytest.raises(ProfileError, match=message) as caught:
        load("01_tiny", "smoke", Config, folder=folder)
    assert "params/01_tiny/smoke.yaml" in str(caught.value)


def test_a_config_that_lets_anything_pass_is_refused(folder: Path):
    class Loose(BaseModel):
        epochs: int = 1

    with pytest.raises(TypeError, match="frozen=True, extra='forbid'"):
        load("01_tiny", "smoke", Loose, folder=folder)
    with pytest.raises(TypeError, match="pydantic model"):
        load("01_tiny", "smoke", dict, folder=folder)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3), ("-2E5", -2e5), ("1.5e3", 1500.0), (".5", 0.5), ("1.", 1.0), ("12", 12),
        ("-3", -3), ("0", 0), ("010", "010"), ("1:30", "1:30"), ("no", "no"), ("on", "on"),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("e3", "e3"),
        ("1e", "1e"), ("[1e-3, 2]", [1e-3, 2]), ("'1e-3'", "1e-3"), ("{a: 1e2}", {"a": 100.0}),
        (".inf", float("inf")), ("1_000", "1_000"), ("0x10", "0x10"), ("abc", "abc"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: object):
    read = parse_yaml(text)
    assert read == value
    assert type(read) is type(value)


@given(st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans()))
def test_every_python_number_reads_back(value: float):
    text = {float("inf"): ".inf", float("-inf"): "-.inf"}.get(value, repr(value))
    read = parse_yaml(text)
    assert read == value
    assert type(read) is type(value)


def test_keys_are_those_of_all_profiles(folder: Path):
    assert profiles.keys("01_tiny", folder) == {"epochs", "lr", "widths", "tag"}


@pytest.mark.parametrize(
    "text", ["!!set {a}", "!!binary aGk=", "!!int abc", "!!timestamp 2020-99-99", "&a [*a]"]
)
def test_what_is_no_plain_value_is_refused_in_one_line(text: str):
    with pytest.raises(ProfileError, match="not readable as YAML") as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_a_profile_that_is_no_text_is_named(folder: Path):
    (folder / "params" / "01_tiny" / "small.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ProfileError, match=r"params/01_tiny/small\.yaml: "):
        profiles.keys("01_tiny", folder)


def test_a_mistyped_folder_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LITHE_NOTEBOOKS", "/nowhere")
    with pytest.raises(ProfileError, match="LITHE_NOTEBOOKS is '/nowhere', which is no folder"):
        profiles.notebooks_folder()
