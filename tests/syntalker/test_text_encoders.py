"""Text encoders: hashes, a tiny local model in place of MiniLM, and the cache of embeddings."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from lithe.syntalker.embedding_cache import embed
from lithe.syntalker.minilm import SentenceEncoder, TextModelError, find_model
from lithe.syntalker.text import HashingEncoder, TextEncoder

CAPTIONS = ["A person walks forward.", "someone is walking", "a man raises the left hand"]


def test_hashes_are_the_same_everywhere():
    found = HashingEncoder(16)(["walk"])
    # fixed numbers: another machine, version or process must give these
    torch.testing.assert_close(found.words[0, 0, :4], torch.tensor(FIRST), atol=1e-6, rtol=0)


FIRST = [0.10297483, -0.11773363, -0.08542494, 0.36201331]


def test_shapes_masks_and_padding():
    encoder = HashingEncoder(32)
    found = encoder(CAPTIONS)
    assert isinstance(encoder, TextEncoder)
    assert found.words.shape == (3, 6, 32)
    assert found.spoken.sum(1).tolist() == [4, 3, 6]
    assert not found.words[~found.spoken].any()
    torch.testing.assert_close(found.sentences.norm(dim=1), torch.ones(3))
    picked = found.pick(torch.tensor([1, 0]))
    assert picked.words.shape == (2, 4, 32)
    assert torch.equal(picked.words[0], found.words[1, :4])


def test_case_and_punctuation_do_not_matter_and_neighbours_do_not_either():
    encoder = HashingEncoder()
    one, two = encoder(["A person WALKS, forward!"]), encoder(["a person walks forward"])
    assert torch.equal(one.sentences, two.sentences)
    together = encoder([*CAPTIONS, "a person walks forward"])
    torch.testing.assert_close(together.sentences[3], two.sentences[0])


def test_related_words_are_close_and_others_are_not():
    sentences = HashingEncoder(256)(["walking", "walks", "jumps", "jumping"]).sentences
    similar = sentences @ sentences.T
    assert similar[0, 1] > 0.3
    assert similar[2, 3] > 0.3
    assert similar[0, 2].abs() < 0.3
    assert similar[0, 1] > similar[0, 3]


def test_stop_words_do_not_make_captions_alike():
    encoder = HashingEncoder(256)
    same, other = (
        encoder(
            ["a person walks forward", "the person is walking forward", "a person kneels down"]
        ).sentences[0]
        @ encoder(
            ["a person walks forward", "the person is walking forward", "a person kneels down"]
        )
        .sentences[1:]
        .T
    )
    assert same > 0.6
    assert other < 0.3


class Counting(HashingEncoder):
    calls = 0

    def __call__(self, captions):
        self.calls += 1
        return super().__call__(captions)


def test_cache_is_asked_first_and_gives_the_same_bits(tmp_path):
    encoder = Counting(16)
    first = embed(encoder, CAPTIONS, tmp_path)
    second = embed(encoder, CAPTIONS, tmp_path)
    assert encoder.calls == 1
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    embed(encoder, CAPTIONS[:2], tmp_path)
    other = Counting(24)
    assert embed(other, CAPTIONS, tmp_path).words.shape[2] == 24
    assert (encoder.calls, other.calls) == (2, 1)
    assert len(list(tmp_path.iterdir())) == 3


def test_damaged_cache_is_made_again(tmp_path):
    encoder = Counting(16)
    first = embed(encoder, CAPTIONS, tmp_path)
    (path,) = tmp_path.iterdir()
    for damage in (b"", b"garbage", path.read_bytes()[:100]):
        path.write_bytes(damage)
        again = embed(encoder, CAPTIONS, tmp_path)
        assert torch.equal(first.words, again.words)
    tensors = dict(zip(("words", "spoken", "sentences"), first))
    save_file(tensors | {"spoken": torch.tensor(True)}, path)  # of no dimension
    assert torch.equal(embed(encoder, CAPTIONS, tmp_path).spoken, first.spoken)
    assert encoder.calls == 5


@pytest.mark.parametrize(
    ("captions", "error", "message"),
    [
        ("walk", TypeError, "not the one string"),
        ([], ValueError, "no caption"),
        (["walk", "  ?!"], ValueError, "has no word"),
        ([""], ValueError, "has no word"),
        ([3], TypeError, "a caption is a string"),
    ],
)
def test_bad_captions_are_refused(captions, error, message):
    with pytest.raises(error, match=message):
        HashingEncoder()(captions)


def test_narrow_hashes_are_refused():
    with pytest.raises(ValueError, match="width is 4"):
        HashingEncoder(4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of sentence-transformers with random weights: 2 layers, width 16, 40 words."""
    from lithe.vision import torchvision

    torchvision()
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a person walk ##s ##ing forward some ##one is man"
    (folder / "vocab.txt").write_text("\n".join(words.split()))
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"))
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(vocab_size=40, intermediate_size=32, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).eval().save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    transformer = modules.Transformer(str(folder / "bert"))
    pooling = modules.Pooling(16)
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(folder / "whole"))
    return folder / "whole"


@pytest.fixture(scope="module")
def encoder(model):
    return SentenceEncoder(model)


def test_a_local_model_gives_words_and_sentences(encoder):
    found = encoder(CAPTIONS)
    assert isinstance(encoder, TextEncoder)
    assert encoder.width == found.words.shape[2] == 16
    assert found.words[~found.spoken].abs().sum() == 0
    # mean pooling over the word pieces, then length 1
    pooled = found.words.sum(1) / found.spoken.sum(1, keepdim=True)
    expected = torch.nn.functional.normalize(pooled, dim=1)
    torch.testing.assert_close(found.sentences, expected, atol=1e-5, rtol=1e-4)


def test_a_caption_alone_is_as_in_company(encoder):
    together, alone = encoder(CAPTIONS), encoder(CAPTIONS[1:2])
    s = alone.words.shape[1]
    torch.testing.assert_close(together.words[1, :s], alone.words[0], atol=1e-5, rtol=1e-4)


def test_checksum_is_checked_and_reported(model, encoder):
    assert SentenceEncoder(model, sha256=encoder.sha256).fingerprint == encoder.fingerprint
    with pytest.raises(TextModelError, match=f"has the sha256 {encoder.sha256}, not 0000"):
        SentenceEncoder(model, sha256="0" * 64)


def test_a_package_can_carry_the_model(model, tmp_path, monkeypatch):
    package = tmp_path / "carrier"
    package.mkdir()
    (package / "__init__.py").write_text("")
    shutil.copytree(model, package / "weights")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_model("package:carrier") == package / "weights"


def test_foreign_code_and_pickled_weights_are_refused(model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "copy")
    (copy / "extra.py").write_text("raise SystemExit")
    with pytest.raises(TextModelError, match=r"brings its own code: extra\.py"):
        SentenceEncoder(copy)
    (copy / "extra.py").unlink()
    listed = json.loads((copy / "modules.json").read_text())
    listed[0]["type"] = "os.system"
    (copy / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(TextModelError, match=r"brings its own code: os\.system"):
        SentenceEncoder(copy)
    shutil.copy(model / "modules.json", copy)
    next(copy.rglob("model.safetensors")).rename(copy / "pytorch_model.bin")
    with pytest.raises(TextModelError, match="weights as pickle are not read"):
        SentenceEncoder(copy)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("nowhere", {}, r"holds no modules\.json"),
        ("package:no_such_package_at_all", {}, "no package"),
        ("package:json", {}, "carries no model"),
        ("hub:owner/name", {}, "needs sha256="),
    ],
)
def test_missing_models_are_refused(source, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TextModelError, match=message):
        find_model(source, **options)
