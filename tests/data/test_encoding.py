"""What of a conversation is learned, to the token: against the text, against transformers, and for templates that break."""

import pytest
import transformers

from genus.core.errors import GenusError
from genus.data.chats import Chat
from genus.data.encoding import encode_chat, encode_prompt
from genus.tokenizers.kinds import train_kind
from genus.tokenizers.template import give_template

MARKED = """\
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.role == "assistant" %}{% generation %}{{ message.content | trim }}<|im_end|>{% endgeneration %}
{%- else %}{{ message.content | trim }}<|im_end|>{% endif %}

{% endfor %}"""
LLAMA2 = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<s>[INST] ' + m.content + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content + ' </s>' }}{% endif %}{% endfor %}"
)
TURNS = ("What is a GPT?", "A <|im_end|> model.", "Why?", "The people, and\n\n plenty of\tit 12345 naïve", "And?", "peace")
CHAT = Chat(
    [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(TURNS[:-1])], TURNS[-1], "here"
)


@pytest.fixture(scope="module")
def plain():
    return train_kind(iter([f"the people of these {n} states shall have peace, and plenty {{}}" for n in range(400)]), 280)


@pytest.fixture(scope="module")
def tokenizer(plain):
    return give_template(plain)


def learned(tokenizer, example):
    """The text of each run of learned tokens."""
    runs, inside = [], False
    for token, is_learned in zip(example.tokens, example.learned, strict=True):
        if is_learned:
            runs = runs if inside else [*runs, b""]
            runs[-1] += tokenizer.token_bytes(token)
        inside = is_learned
    return [run.decode() for run in runs]


def test_each_answer_and_its_end_are_learned_and_nothing_else(tokenizer):
    example = encode_chat(tokenizer, CHAT)
    assert learned(tokenizer, example) == [f"{answer}<|im_end|>" for answer in TURNS[1::2]]
    assert learned(tokenizer, encode_chat(tokenizer, CHAT, last=True)) == ["peace<|im_end|>"]
    assert example.tokens.tolist() == tokenizer.encode_chat([*CHAT.prompt, {"role": "assistant", "content": "peace"}], False)


def test_the_mask_is_transformers_own(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    chat = CHAT._replace(prompt=[{**turn, "content": turn["content"].replace("<|im_end|> ", "")} for turn in CHAT.prompt])
    messages = [*chat.prompt, {"role": "assistant", "content": chat.answer}]
    found = theirs.apply_chat_template(messages, chat_template=MARKED, return_dict=True, return_assistant_tokens_mask=True)
    example = encode_chat(tokenizer, chat)
    assert example.tokens.tolist() == found["input_ids"]
    assert example.learned.tolist() == [bool(each) for each in found["assistant_masks"]]


def test_what_comes_before_an_answer_is_what_the_model_will_be_asked(tokenizer):
    example = encode_chat(tokenizer, CHAT, last=True)
    asked = encode_prompt(tokenizer, CHAT.prompt)
    assert example.tokens[: len(asked)].tolist() == asked
    assert not example.learned[: len(asked)].any()


def test_a_template_without_a_generation_prompt_of_its_own():
    llama = train_kind(iter([f"the people of these {n} states shall have peace {{}}" for n in range(400)]), 284, "llama")
    tokenizer = give_template(llama, LLAMA2)
    assert learned(tokenizer, encode_chat(tokenizer, CHAT)) == [f" {answer} </s>" for answer in TURNS[1::2]]


def test_texts_are_gone_on_with(plain):
    example = encode_chat(plain, Chat("2 + 2 =", " 4"))
    assert example.tokens.tolist() == [*plain.encode("2 + 2 ="), *plain.encode(" 4"), plain.end_of_text]
    assert learned(plain, example) == [" 4<|endoftext|>"]


ANSWER = "{% if add_generation_prompt %}[assistant]{% endif %}"
TURN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
BREAKS = {
    "counts its turns": ("{{ messages | length }}" + TURN + "<|endoftext|>{% endfor %}" + ANSWER, "turn 2: .* otherwise"),
    "ends nothing": (TURN + "\n{% endfor %}" + ANSWER, "turn 2: the chat template writes no token"),
    "merges": ("{% for m in messages %}{{ m.content }}{% endfor %}<|endoftext|>", "turn 2: .* otherwise"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_templates_that_break_are_named_with_the_place(plain, case):
    template, said = BREAKS[case]
    with pytest.raises(GenusError, match=f"^here: {said}"):
        encode_chat(plain.with_template(template), Chat([{"role": "user", "content": "the peo"}], "ple", "here"))


def test_turns_need_a_template(plain):
    with pytest.raises(GenusError, match="here: this tokenizer has no chat template"):
        encode_chat(plain, CHAT)
