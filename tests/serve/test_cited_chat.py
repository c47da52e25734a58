"""Chat models that answer from an index, by the openai package: their annotations, streams, refusals, and a hostile passage.

The model is a tiny one that has learned by heart what to write from each passage, the hostile one's orders among them.
"""

import json

import openai
import pytest

from genus.engine.model import load
from genus.retrieve.answer.answer import NOT_FOUND
from genus.retrieve.answer.asking import SOURCES
from genus.retrieve.search import Search
from genus.retrieve.verifier import Thresholds
from genus.retrieve.verify.coverage import Coverage
from tests.retrieve.answering import BEARS, ORDERS, WRITTEN, hostile_search
from tests.serve.here import KEY, Here, serving


@pytest.fixture(scope="module")
def search() -> Search:
    return hostile_search()


@pytest.fixture(scope="module")
def cited(search, answer_writer):
    with serving(load(answer_writer), answer_writer) as here:
        here.state.search, here.state.verifier = search, Coverage()
        yield here
        assert here.settled()


@pytest.fixture(scope="module")
def client(cited):
    with openai.OpenAI(base_url=f"{cited.url}/v1", api_key=KEY, max_retries=0, timeout=60) as made:
        yield made


def asked(client, model: str, question: str = BEARS, **more):
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": question}], **more)


def test_the_models_that_cite_are_listed(client, cited):
    names = {each.id: each.genus.get("answers") for each in client.models.list().data}
    assert names == {"tiny": None, "tiny+sources": "generative", "quotes+sources": "extractive"}
    assert client.models.retrieve("tiny+sources").id == "tiny+sources"
    search, cited.state.search = cited.state.search, None
    try:
        assert [each.id for each in client.models.list().data] == ["tiny"]
        with pytest.raises(openai.NotFoundError):
            asked(client, "quotes+sources")
    finally:
        cited.state.search = search


@pytest.mark.parametrize("model", ["tiny+sources", "quotes+sources"])
def test_every_annotation_is_a_passage_that_is_there(client, search, model):
    said = asked(client, model)
    (choice,) = said.choices
    message = choice.message
    assert (said.object, said.model, choice.finish_reason, message.role) == ("chat.completion", model, "stop", "assistant")
    assert message.annotations
    for annotation in message.annotations:
        place, source = annotation.url_citation, annotation.passage
        assert annotation.type == "url_citation"
        assert message.content[place.start_index : place.end_index] == f"[{source['number']}]"
        (kept,) = search.corpus.get([source["id"]])
        assert (place.title, place.url) == (kept.title, kept.url)
        names = ("document", "start", "end", "sha256")
        assert [source[name] for name in names] == [getattr(kept, name) for name in names]
        assert kept.start <= annotation.quote["start"] < annotation.quote["end"] <= kept.end
    for sentence in message.genus["sentences"]:
        assert sentence["passage"] or sentence["status"] == "unsupported"
    assert [each["number"] for each in message.genus["sources"]] == list(range(1, SOURCES + 1))


def test_the_model_writes_and_the_judge_decides(client):
    """What a passage ordered, and the question that it repeats, bear nothing out; a figure that nothing says neither."""
    said = asked(client, "tiny+sources")
    found = {each["text"]: each for each in said.choices[0].message.genus["sentences"]}
    bears, evil, seals = (found[WRITTEN[name]] for name in ("bears", "evil", "seals"))
    assert (bears["status"], bears["passage"]["document"]) == ("supported", "bears")
    for each in (evil, seals):
        assert (each["status"], each["passage"]) == ("unsupported", None)
    assert f"{seals['text']} [unsupported]" in said.choices[0].message.content
    assert said.usage.completion_tokens > 10 and said.usage.prompt_tokens > 100


@pytest.mark.parametrize("model", ["tiny+sources", "quotes+sources"])
def test_a_stream_says_the_same(client, model):
    whole = asked(client, model).choices[0].message
    chunks = list(asked(client, model, stream=True, stream_options={"include_usage": True}))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == whole.content
    annotations = [each for delta in deltas for each in getattr(delta, "annotations", None) or []]
    assert annotations == [each.model_dump() for each in whole.annotations]
    told = [delta.genus for delta in deltas if hasattr(delta, "genus")]
    assert [each["id"] for each in told[0]["sources"]] == [each["id"] for each in whole.genus["sources"]]
    assert [each["sentence"] for each in told if "sentence" in each] == whole.genus["sentences"]
    assert told[-1] == whole.genus
    assert chunks[-1].usage.total_tokens == asked(client, model).usage.total_tokens
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


@pytest.mark.parametrize("model", ["tiny+sources", "quotes+sources"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_there_is_not_answered(client, cited, model, stream):
    steps = cited.engine.steps
    said = asked(client, model, "How do I reset the password of my router?", stream=stream)
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in said)
    else:
        text = said.choices[0].message.content
        assert said.choices[0].message.annotations == [] and said.choices[0].message.genus["abstained"]
    assert text == NOT_FOUND and cited.engine.steps == steps  # the model was not asked


@pytest.mark.parametrize("stream", [False, True])
def test_where_nothing_is_borne_out_nothing_is_said(client, cited, monkeypatch, stream):
    strict = Coverage()
    strict.thresholds = Thresholds(supported=1.1, partial=1.1)
    monkeypatch.setattr(cited.state, "verifier", strict)
    said = asked(client, "tiny+sources", stream=stream)
    if stream:
        deltas = [chunk.choices[0].delta for chunk in said]
        text = "".join(delta.content or "" for delta in deltas)
        assert not any("sentence" in getattr(delta, "genus", {}) for delta in deltas)
    else:
        text = said.choices[0].message.content
    assert text == NOT_FOUND


@pytest.mark.parametrize(("more", "param"), [
    ({"n": 2}, "n"),
    ({"tools": [{"type": "function", "function": {"name": "find"}}]}, "tools"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"messages": [{"role": "user", "content": "x" * 2**20}]}, "messages"),
    ({"messages": [{"role": "user", "content": " "}]}, "messages"),
    ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "messages"),
    ({"messages": []}, "messages"),
])  # fmt: skip
def test_what_such_a_model_does_not_do_is_refused(cited: Here, more, param):
    body = {"model": "quotes+sources", "messages": [{"role": "user", "content": BEARS}], **more}
    said = cited.post("/v1/chat/completions", **body)
    assert (said.status_code, said.json()["error"]["param"]) == (400, param)


def test_a_passage_goes_out_as_json_alone(cited: Here):
    said = cited.post("/v1/chat/completions", model="quotes+sources", messages=[{"role": "user", "content": BEARS}])
    assert said.headers["content-type"] == "application/json"
    sources = json.loads(said.text)["choices"][0]["message"]["genus"]["sources"]
    assert ORDERS in [each["text"] for each in sources]


def test_a_client_that_goes_leaves_nothing_behind(cited: Here):
    body = {"model": "tiny+sources", "messages": [{"role": "user", "content": BEARS}], "stream": True}
    cited.engine.go = False
    try:
        with cited.client.stream("POST", "/v1/chat/completions", json=body) as stream:
            assert any("sources" in line for line in stream.iter_lines())
    finally:
        cited.engine.go = True
    assert cited.settled()
