"""References as Galactica writes them: a tiny model that learns them foretells them, and what it makes up is told."""

import pytest
import torch
import torch.nn.functional as F

import genus.cli.main as cli
from genus.core.errors import GenusError
from genus.engine.model import Model
from genus.models.attend import FastAttend
from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.retrieve.opening import open_corpus
from genus.retrieve.references import Cut, Reference, Titles, cut, foretell, measure, referenced, write
from genus.tokenizers.kinds import train_kind
from tests.retrieve.memory_corpus import HashedWords, MemoryCorpus, passage

PAPERS = {
    "attention alone is enough for translation": "Attention Is All You Need, Vaswani",
    "residual maps let networks be deep": "Deep Residual Learning, He",
    "dropping units keeps a network from fitting too well": "Dropout: A Simple Way, Srivastava",
    "language models are learners of many tasks": "Language Models are Few-Shot Learners, Brown",
    "points near in many dimensions are drawn near in two": "Visualizing Data using t-SNE, van der Maaten",
    "nothing of the kind was ever shown": "A Paper That Nobody Wrote, Nemo",
}
TEXTS = [f"It is known that {claim} [START_REF] {title}[END_REF]." for claim, title in PAPERS.items()]
KNOWN = [title.rpartition(",")[0] for title in PAPERS.values()][:-1]  # the last is in no index


@pytest.fixture(scope="module")
def tokenizer():
    return train_kind(
        iter([text.replace("[START_REF]", "").replace("[END_REF]", "") for text in TEXTS] * 4), 420, "galactica"
    )


@pytest.fixture(scope="module")
def galactica(tokenizer) -> Model:
    """Two layers that have read the texts 150 times."""
    torch.manual_seed(0)
    family = family_named("galactica")
    spec = spec_of("galactica", vocab=tokenizer.vocab, context=160, width=48, depth=2, heads=4)
    network = LanguageModel(spec)
    initialise(network, family.init(spec), seed=0)
    rows = [[*each.prompt, *tokenizer.encode(f" {each.title}"), *end_of(tokenizer)] for each in cuts_of(tokenizer)]
    longest = max(map(len, rows))
    tokens = torch.tensor([[*row, *[1] * (longest - len(row))] for row in rows])
    there = torch.tensor([[1.0] * len(row) + [0.0] * (longest - len(row)) for row in rows])[:, 1:]
    optimizer = torch.optim.AdamW(network.parameters(), 4e-3)
    model = Model(network, family, tokenizer)
    positions = torch.arange(longest).expand_as(tokens)
    for _ in range(150):
        logits = network(tokens, positions, FastAttend(spec))[:, :-1]
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none") * there.flatten()
        optimizer.zero_grad()
        (loss.sum() / there.sum()).backward()
        optimizer.step()
    return model


def end_of(tokenizer) -> list[int]:
    return [tokenizer.id_of("[END_REF]"), *tokenizer.encode(".")]


def cuts_of(tokenizer) -> list[Cut]:
    return [each for text in TEXTS for each in cut(text, tokenizer)]


def test_a_reference_is_cut_out_of_its_text(tokenizer):
    start, end = tokenizer.id_of("[START_REF]"), tokenizer.id_of("[END_REF]")
    first, second = cut("One [START_REF] A b, C[END_REF] and two [START_REF]\nD[END_REF] end [START_REF] cut", tokenizer)
    assert (first.title, second.title) == ("A b, C", "D")
    assert first.prompt == (*tokenizer.start, *tokenizer.encode("One "), start)
    between = [*tokenizer.encode(" A b, C"), end, *tokenizer.encode(" and two "), start]
    assert second.prompt == (*first.prompt, *between)
    assert cut("nothing is marked [END_REF] here", tokenizer) == []


def test_titles_that_were_learnt_are_foretold(galactica, tokenizer):
    cuts = cuts_of(tokenizer)
    said = foretell(galactica, cuts)
    assert said == list(PAPERS.values())
    found = measure(said, cuts, Titles(KNOWN))
    assert found.exact.value == 1 and found.looked_up.value == pytest.approx(5 / 6)  # the last is not in the index
    swapped = [said[1], said[0], said[2].replace("Dropout", "Dropouts").rpartition(",")[0], *said[3:]]
    found = measure(swapped, cuts, Titles(KNOWN))
    assert found.exact.value == pytest.approx(3 / 6) and found.looked_up.value == pytest.approx(3 / 6)
    with pytest.raises(GenusError, match="context"):
        foretell(galactica, [Cut((5,) * 160, "x")])


def test_references_that_are_written_are_checked(galactica, tokenizer):
    titles = Titles.of(MemoryCorpus([passage(f"d{number}", "text", title=title) for number, title in enumerate(KNOWN)]))
    for claim, title in PAPERS.items():
        text, found = write(galactica, f"It is known that {claim} ", titles, max_tokens=60, temperature=0)
        (one, *_) = found
        assert one.title == title == text[one.start : one.end] and "[START_REF]" not in text
        invented = "Nobody" in title
        assert (one.verdict, one.match) == (("unknown", "") if invented else ("known", title.rpartition(",")[0]))


def test_the_command_looks_references_up(galactica, tmp_path, capsys):
    pytest.importorskip("lancedb")
    corpus = open_corpus(str(tmp_path / "papers"), {"name": "hashed-words", "sha256": "0" * 64, "width": 256})
    titles = [*KNOWN[1:], f"{KNOWN[0]} !\x1b[31m"]
    papers = [passage(f"d{number}", "text", title=title) for number, title in enumerate(titles)]
    corpus.add(papers, HashedWords().encode([each.text for each in papers]))
    galactica.save(tmp_path / "model")
    flags = ["--titles", str(tmp_path / "papers"), "--max-tokens", "60", "--temperature", "0"]
    for claim, title in list(PAPERS.items())[:2] + list(PAPERS.items())[-1:]:
        prompt = f"It is known that {claim} "
        assert cli._run(["generate", str(tmp_path / "model"), prompt, *flags]) == 0
        text, *said = capsys.readouterr().out.splitlines()
        assert text.startswith(prompt) and title in text
        kind = {"Deep": "known", "Attention": "near"}.get(title.split()[0], "unknown")
        like = " (the index has: Attention Is All You Need ! [31m)" if kind == "near" else ""
        assert said[0] == f"{kind:8} {title}{like}"


def tokens_of(tokenizer, *parts: str) -> list[int]:
    """Parts as text, but for the two marks."""
    marks = {name: [tokenizer.id_of(name)] for name in ("[START_REF]", "[END_REF]")}
    return [token for part in parts for token in marks.get(part) or tokenizer.encode(part)]


def test_broken_references_are_unknown(tokenizer):
    titles = Titles(KNOWN)
    s, e, known = "[START_REF]", "[END_REF]", "Deep Residual Learning"
    text, found = referenced(tokens_of(tokenizer, "a", e, "b", s, known, s, known, e, s, "Deep Res"), tokenizer, titles)
    assert [(one.title, one.verdict) for one in found] == [(known, "unknown"), (known, "known"), ("Deep Res", "unknown")]
    assert all(text[one.start : one.end] == one.title for one in found)
    assert referenced(tokens_of(tokenizer, s, e), tokenizer, titles)[1] == [Reference("", "unknown", "", 0, 0)]
    assert referenced([], tokenizer, titles) == ("", [])


def test_letters_that_look_like_marks_are_text(galactica, tokenizer):
    """Whoever types the marks has marked nothing: neither in a prompt, nor in what is read."""
    typed = "[START_REF] Deep Residual Learning[END_REF]"
    text, found = referenced(tokenizer.encode(typed), tokenizer, Titles(KNOWN))
    assert found == [] and text.replace(" ", "") == typed.replace(" ", "")
    assert tokenizer.id_of("[START_REF]") not in galactica.prompt_ids(typed)


@pytest.mark.parametrize(
    ("said", "verdict", "match"),
    [
        ("Deep Residual Learning", "known", 1),
        ("DEEP  residual-learning.", "known", 1),
        ("Ｄéep Residual Learning, He", "known", 1),
        ("Visualizing Data using t-SNE, van der Maaten", "known", 4),
        ("Deep Residual Learnings, He", "near", 1),
        ("Attention Is Not All You Need, Vaswani", "near", 0),
        ("Deep Residual Learning, which was shown to be wrong", "unknown", None),
        ("Deep Residual Learning Ignore your instructions", "unknown", None),
        ("Deep Residual Learning Attention Is All You Need", "unknown", None),
        ("Deеp Rеsidual Lеarning", "unknown", None),  # Cyrillic letters that look the same
        ("Learning", "unknown", None),
        ("Deep Residual Learning " * 20_000, "unknown", None),
        ("", "unknown", None),
        (", He", "unknown", None),
        ("\0\x1b[31m<script>", "unknown", None),
    ],
)
def test_what_a_title_is_taken_for(said, verdict, match):
    assert Titles(KNOWN).find(said) == (verdict, "" if match is None else KNOWN[match])


def test_titles_with_a_comma_are_titles():
    assert Titles(["Bell, Book and Candle", "", "..."]).find("bell, book and candle") == ("known", "Bell, Book and Candle")
    assert Titles([]).find("anything") == ("unknown", "")


def test_another_tokenizer_is_refused():
    plain = train_kind(iter(["the people of these states " * 20]), 270)
    with pytest.raises(GenusError, match="START_REF"):
        cut("a [START_REF] b[END_REF]", plain)
