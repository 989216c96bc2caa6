from __future__ import annotations

import hashlib
import io
import shutil
import tarfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from lithe.data import CIFAR10_CLASSES, DataError, cifar, cifar10, cifar10_subset
from lithe.training import evaluate

PER_FILE = 20  # instead of 10,000


class ResNet20(nn.Module):
    """He et al. with option A shortcuts, from the weights' own names."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()), requires_grad=False)
        self.weights = weights

    def _conv_bn(self, x, conv, bn, stride=1):
        w = self.weights
        x = F.conv2d(x, w[f"{conv}.weight"], stride=stride, padding=1)
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(w[f"{bn}.{name}"] for name in names))

    def forward(self, x):
        x = self._conv_bn(x, "conv1", "bn1").relu()
        for layer in (1, 2, 3):
            for block in range(3):
                name = f"layer{layer}.{block}"
                stride = 2 if layer > 1 and block == 0 else 1
                y = self._conv_bn(x, f"{name}.conv1", f"{name}.bn1", stride).relu()
                y = self._conv_bn(y, f"{name}.conv2", f"{name}.bn2")
                if stride == 2:
                    side = x.shape[1] // 2
                    x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, side, side))
                x = (x + y).relu()
        return F.linear(x.mean((2, 3)), self.weights["linear.weight"], self.weights["linear.bias"])


def test_subset_decodes_to_the_published_pixels(shared):
    train, test = cifar10_subset(shared)
    nhwc = train.pixels.permute(0, 2, 3, 1).contiguous().numpy()
    published = "bbe8ac77e3a3a6e136200bdab127664859a62d2f44f79c45bd479fb9005c7c4c"
    assert hashlib.sha256(nhwc.tobytes()).hexdigest() == published
    assert train.labels.bincount().tolist() == [600] * 10
    assert test.labels.bincount().tolist() == [105, 93, 100, 104, 92, 87, 114, 102, 110, 110]
    assert train.classes == CIFAR10_CLASSES
    assert list(CIFAR10_CLASSES) == (shared / "data/cifar10/classes.txt").read_text().split()


def test_a_published_network_reaches_its_published_accuracy(shared):
    """932 of 1,017 (data/weights/README): pixels, labels and scaling are all right at once."""
    weights = load_file(shared / "data/weights/resnet20_cifar10.safetensors")
    _, test = cifar10_subset(shared)
    test = test.normalised((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    found = evaluate(ResNet20(weights), test, batch_size=113)
    hits = found["top1"] * found["n"] / 100
    assert found["n"] == 1017
    assert abs(hits - 932) <= 1  # one image may sit on the fence of another machine's rounding


@pytest.fixture
def copied(shared, tmp_path):
    target = tmp_path / "data" / "cifar10"
    shutil.copytree(shared / "data" / "cifar10", target)
    return tmp_path, target


def test_a_cut_sheet_is_refused_by_name(copied):
    root, folder = copied
    sheet = folder / "train_3.webp"
    sheet.write_bytes(sheet.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"train_3\.webp is damaged or cut short"):
        cifar10_subset(root)


def test_a_missing_sheet_or_manifest_is_refused_by_name(copied):
    root, folder = copied
    (folder / "test.webp").unlink()
    with pytest.raises(DataError, match=r"test\.webp is missing"):
        cifar10_subset(root)
    (folder / "MANIFEST.sha256").unlink()
    with pytest.raises(DataError, match=r"MANIFEST\.sha256 is missing"):
        cifar10_subset(root)


def test_other_pixels_under_a_matching_manifest_are_refused(copied, monkeypatch):
    root, _ = copied
    monkeypatch.setitem(cifar.SHEET_DIGESTS, "x_test", "0" * 64)
    with pytest.raises(DataError, match="x_test decoded"):
        cifar10_subset(root)


@pytest.fixture
def binary(tmp_path, monkeypatch):
    """A tiny release in the official layout, with its own checksums in place."""
    monkeypatch.setattr(cifar, "PER_FILE", PER_FILE)
    folder = tmp_path / "release" / cifar.INNER
    folder.mkdir(parents=True)
    numbers = np.random.default_rng(0)
    digests = {}
    for name in [*cifar.TRAIN_MD5, cifar.TEST_FILE]:
        records = numbers.integers(0, 256, (PER_FILE, cifar.RECORD), dtype=np.uint8)
        records[:, 0] = np.arange(PER_FILE) % 10
        (folder / name).write_bytes(records.tobytes())
        digests[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()[:8]
    digests.pop(cifar.TEST_FILE)
    monkeypatch.setattr(cifar, "TRAIN_MD5", digests)
    return folder


def _pack(folder, archive, monkeypatch):
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, cifar.INNER)
    monkeypatch.setattr(cifar, "ARCHIVE_MD5", hashlib.md5(archive.read_bytes()).hexdigest())


def test_binary_files_are_read_plane_by_plane(binary):
    train, test = cifar10(binary)
    assert len(train) == 5 * PER_FILE
    assert len(test) == PER_FILE
    raw = np.frombuffer((binary / "data_batch_2.bin").read_bytes(), np.uint8)
    raw = raw.reshape(PER_FILE, cifar.RECORD)
    image = train.pixels[PER_FILE + 7]
    assert int(image[1, 3, 5]) == raw[7, 1 + 1024 + 3 * 32 + 5]  # green, row 3, column 5
    assert int(train.labels[PER_FILE + 7]) == raw[7, 0]


def test_archive_and_extracted_files_give_the_same_images(binary, tmp_path, monkeypatch):
    packed = tmp_path / "packed"
    packed.mkdir()
    _pack(binary, packed / cifar.ARCHIVE, monkeypatch)
    from_folder, from_archive = cifar10(binary.parent), cifar10(packed)
    assert [x.sha256 for x in from_folder] == [x.sha256 for x in from_archive]


def test_a_damaged_archive_is_refused(binary, tmp_path, monkeypatch):
    packed = tmp_path / "packed"
    packed.mkdir()
    archive = packed / cifar.ARCHIVE
    _pack(binary, archive, monkeypatch)
    archive.write_bytes(archive.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz is damaged or cut short"):
        cifar10(packed)


def test_damaged_binary_files_are_refused(binary):
    batch = binary / "data_batch_4.bin"
    content = batch.read_bytes()
    batch.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=r"data_batch_4\.bin is damaged"):
        cifar10(binary)
    batch.write_bytes(content)
    test = binary / cifar.TEST_FILE
    content = test.read_bytes()
    test.write_bytes(content[:-5])
    with pytest.raises(DataError, match=r"test_batch\.bin has [\d,]+ bytes"):
        cifar10(binary)
    test.write_bytes(bytes([9]) + content[1:])
    with pytest.raises(DataError, match="of every class"):
        cifar10(binary)


def test_nothing_is_downloaded_unasked(tmp_path, monkeypatch):
    import pooch

    def reached(*_, **__):
        raise AssertionError("downloaded without download=True")

    monkeypatch.setattr(pooch, "retrieve", reached)
    with pytest.raises(DataError, match="download=True"):
        cifar10(tmp_path)
    with pytest.raises(DataError, match="download=True"):
        cifar10(tmp_path / "not there")


def test_download_checks_the_archive(binary, tmp_path, monkeypatch):
    import pooch

    source = tmp_path / "mirror.tar.gz"
    _pack(binary, source, monkeypatch)
    asked = {}

    def retrieve(url, known_hash, fname, path):
        asked.update(url=url, known_hash=known_hash)
        shutil.copy(source, path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    train, _ = cifar10(tmp_path / "cache", download=True)
    assert len(train) == 5 * PER_FILE
    assert asked == {"url": cifar.ARCHIVE_URL, "known_hash": f"md5:{cifar.ARCHIVE_MD5}"}


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    import pooch

    def refuse(*_, **__):
        raise ValueError("MD5 hash of downloaded file does not match")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    with pytest.raises(DataError, match="fetch it by hand"):
        cifar10(tmp_path, download=True)


def test_pickles_of_the_python_version_are_not_read(tmp_path):
    """The folder of the Python release counts as no data at all."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "test_batch").write_bytes(io.BytesIO(b"cos\nsystem\n(S'false'\ntR.").read())
    with pytest.raises(DataError, match="no CIFAR-10"):
        cifar10(tmp_path)
