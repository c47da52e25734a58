"""schemathesis over /openapi.json: whatever it makes up, no answer is a 5xx, and each error is of the one form."""

from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error

from tests.serve.running import Running

EXAMPLES = 20  # of each operation, of what fits the schema and of what does not: some are generated from, for a second each
ANYWHERE = ("/health", "/ready", "/metrics")


@pytest.fixture(scope="module")
def api(server: Running) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json", headers={"authorization": f"Bearer {server.key}"})


def test_no_request_is_answered_by_a_failure_of_the_server(api: Any, server: Running) -> None:
    asked: dict[str, set[int]] = {}
    for found in api.get_all_operations():
        operation = found.ok()
        statuses = asked.setdefault(operation.label, set())
        for mode in schemathesis.GenerationMode:
            if mode.is_positive or operation.body or operation.path_parameters or operation.query:
                ask(server, operation.as_strategy(generation_mode=mode), statuses)
    posts = {label for label in asked if label.startswith("POST")}
    assert {f"POST {path}" for path in ("/v1/completions", "/v1/chat/completions", "/v1/embeddings")} <= posts
    assert all(400 in asked[label] for label in posts), asked
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
    @hypothesis.given(cases)
    def one(case: Any) -> None:
        answer = case.call(base_url=server.url, headers={"authorization": f"Bearer {server.key}"})
        case.validate_response(answer, checks=[not_a_server_error])
        statuses.add(answer.status_code)
        if answer.status_code >= 400 and answer.content:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}

    one()
