"""The server of the other tests itself."""

import json

from tests.serve.running import Running


def test_it_serves_its_models_with_a_key(server: Running) -> None:
    status, said = server.get("/v1/models")
    assert status == 200
    assert [model["id"] for model in json.loads(said)["data"]] == list(server.models) == ["plain", "chatty"]
