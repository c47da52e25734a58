"""Instructions made of a corpus, and the judge that ranks answers to them."""

import json

import pytest

from genus.align.judge import judge, judge_answer
from genus.align.recipe import Judge
from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.data.comparisons import read_comparisons
from genus.data.corpus import Corpus, make_corpus
from genus.data.instructions import Instruct, make_instructions, topic_of
from tests.align.small import save_small, write_prompts


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    home = tmp_path_factory.mktemp("instruct")
    text = home / "text"
    text.mkdir()
    for number in range(30):
        lines = [
            f"The people of the union number {number} shall have {word} and great plenty." for word in ("peace", "order")
        ]
        (text / f"{number:02d}.txt").write_text("\n".join([*lines, "Too short.", "no sentence at all but words in a row"]))
    make_corpus(Corpus(source=str(text), out=home / "corpus", held_out=0.2))
    return home / "corpus"


def test_an_instruction_asks_for_a_sentence_of_the_corpus(corpus, tmp_path):
    make_instructions(Instruct(corpus=corpus, out=tmp_path / "out", count=10))
    train = [json.loads(line)["messages"] for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines()]
    held_out = [json.loads(line)["messages"] for line in (tmp_path / "out" / "held_out.jsonl").read_text().splitlines()]
    assert len(train) == 10 and held_out
    for asked, answered in train + held_out:
        assert asked["content"].startswith("Speak") and answered["content"].endswith("and great plenty.")
        assert topic_of(asked["content"]) in answered["content"].split()  # the rarest word that is known well
    said = {answered["content"] for _, answered in train}
    assert not said & {answered["content"] for _, answered in held_out}
    assert topic_of("What is: this?") == ""


def test_too_little_text_is_an_error(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("short words only. " * 200)
    make_corpus(Corpus(source=str(tmp_path / "text"), out=tmp_path / "corpus", held_out=0.2))
    with pytest.raises(GenusError, match="no sentence of the train documents has 8 to 26 words"):
        make_instructions(Instruct(corpus=tmp_path / "corpus", out=tmp_path / "out"))


def test_what_the_judge_likes():
    asked = [{"role": "user", "content": "Speak of: treaties"}]
    words = "we have made treaties with all nations and shall always keep them"
    assert judge_answer(asked, f"{words}.", True) == pytest.approx(6)
    assert judge_answer(asked, f"{words}.", False) == pytest.approx(5)  # cut off
    assert judge_answer(asked, words, True) == pytest.approx(5)  # no sentence
    assert judge_answer(asked, words.replace("treaties", "treatment") + ".", True) == pytest.approx(4 + 2 * 5 / 8)
    assert judge_answer(asked, f"{words}.", True, known=words.split()[:6]) == pytest.approx(5 + 6 / 12)
    assert judge_answer(asked, "we have " * 8, True) == pytest.approx(2 / 15 + 1 + 1)  # two pairs, fifteen times
    assert judge_answer(asked, "Treaties.", True) == pytest.approx(2 + 1 + 0 + 1 + 1 / 12)
    assert judge_answer(asked, "", True) == 0


def test_rankings_and_wins(tmp_path):
    start = save_small(tmp_path / "start")
    prompts = (str(write_prompts(tmp_path / "prompts.jsonl", 6)),)
    judge(Judge(models=(start,), prompts=prompts, out=tmp_path / "ranked.jsonl", answer_tokens=12))
    for each in read_comparisons(tmp_path / "ranked.jsonl"):
        scores = [judge_answer(each.prompt, answer, False) for answer in each.answers]
        assert each.labeller == "judge" and min(each.ranks) == 1 and len(each.answers) == 4
        # whether an answer ended is not in the file, so that only those the judge could tell apart are compared
        assert scores[each.ranks.index(1)] >= min(scores)
    judge(Judge(models=(start, start), prompts=prompts, out=tmp_path / "wins.json", answer_tokens=12))
    first, *_ = read_json(tmp_path / "wins.json").values()
    assert first["win_rate"] == 0.5 and first["prompts"] == 6
