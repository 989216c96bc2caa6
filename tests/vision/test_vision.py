from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from lithe.vision import torchvision

SOURCE = Path(__file__).resolve().parents[2] / "src" / "lithe"


def test_models_and_transforms_work_through_the_door():
    module = torchvision()
    model = module.models.resnet18(num_classes=3).eval()
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    resize = module.transforms.Resize(8)
    assert resize(torch.zeros(3, 16, 16)).shape == (3, 8, 8)


def test_the_second_call_returns_the_same_module():
    assert torchvision() is torchvision()
    assert torchvision() is sys.modules["torchvision"]


def test_only_one_module_imports_torchvision():
    importing = [
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if any(
            line.strip().startswith(("import torchvision", "from torchvision"))
            for line in path.read_text().splitlines()
        )
    ]
    assert importing == ["vision.py"]


def test_torchvision_is_not_imported_before_it_is_asked_for():
    code = "import sys, lithe.data, lithe.training; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
