"""schemathesis over /openapi.json: whatever it makes up, no answer is a 5xx, and each error is of the one form."""

import json
import os
import re
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error

from tests.serve.running import Running

# Of each operation, of what fits the schema and of what does not: some generate, for a second each.
EXAMPLES = int(os.environ.get("GENUS_TEST_EXAMPLES", "20"))
MAIN = {"model", "prompt", "messages", "input", "tokens"}
ANYWHERE = ("/health", "/ready", "/metrics")


@pytest.fixture(scope="module")
def api(server: Running) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json", headers={"authorization": f"Bearer {server.key}"})


def test_what_openapi_refers_to_is_there(server: Running) -> None:
    said = json.loads(server.get("/openapi.json")[1])
    for reference in set(re.findall(r'"\$ref": "([^"]*)"', json.dumps(said))):
        found = said
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_no_request_is_answered_by_a_failure_of_the_server(api: Any, server: Running) -> None:
    asked: dict[str, set[int]] = {}
    for found in api.get_all_operations():
        operation = found.ok()
        statuses = asked.setdefault(operation.label, set())
        for mode in schemathesis.GenerationMode:
            if mode.is_positive or operation.body:  # nothing is wrong for a path or query of any text
                ask(server, operation.as_strategy(generation_mode=mode), statuses)
    posts = {label for label in asked if label.startswith("POST")}
    assert {f"POST {path}" for path in ("/v1/completions", "/v1/chat/completions", "/v1/embeddings")} <= posts
    assert all(400 in asked[label] for label in posts), asked
    assert all(200 in asked[label] for label in posts if "chat" not in label and "search" not in label), asked
    assert all(asked[f"GET {path}"] == {200} for path in ANYWHERE), asked
    assert server.get("/ready")[0] == 200


def ask(server: Running, cases: Any, statuses: set[int]) -> None:
    @hypothesis.seed(0)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(cases, hypothesis.strategies.integers(0, 2**32))
    def one(case: Any, kept: int) -> None:
        if isinstance(case.body, dict):  # with every field at once, something is always wrong
            names = sorted(set(case.body) - MAIN)
            chosen = {name for place, name in enumerate(names) if kept >> place & 1 and kept >> 31 - place & 1}
            case.body = {name: value for name, value in case.body.items() if name in MAIN | chosen}
            if isinstance(case.body.get("model"), str):  # made up, it would only be unknown
                case.body["model"] = "chatty" if "chat" in case.path else "plain"
        answer = case.call(base_url=server.url, headers={"authorization": f"Bearer {server.key}"})
        case.validate_response(answer, checks=[not_a_server_error])
        statuses.add(answer.status_code)
        if answer.status_code >= 400 and answer.content:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}

    one()
