"""POST /v1/embeddings: one vector for each text, of length 1, off the hidden states of the language model itself."""

import base64
import math
import struct
from typing import Any

from starlette.requests import Request as HttpRequest

from genus.serve.answering import unless_gone
from genus.serve.errors import ApiError
from genus.serve.prompts import prompts_of
from genus.serve.schema import EmbeddingBody
from genus.serve.state import State

__all__ = ["embeddings"]


async def embeddings(http: HttpRequest, state: State, body: EmbeddingBody) -> dict[str, Any]:
    """Answer one request."""
    async with state.use(body.model) as opened:
        texts = await prompts_of(opened, body.input, "input")
        tokens = sum(map(len, texts))
        http.state.log |= {"model": opened.served.name, "prompt_tokens": tokens}
        vectors = await unless_gone(http, opened.engine.embed(texts, body.pooling or "mean"))
        width = len(vectors[0])
        if body.dimensions is not None and body.dimensions > width:
            message = f"dimensions = {body.dimensions} is more than the {width} of this model; ask for fewer"
            raise ApiError(400, message, "invalid_value", "dimensions")
        data = [
            {"object": "embedding", "index": index, "embedding": _written(_unit(vector[: body.dimensions]), body)}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": opened.served.name, "usage": usage}


def _unit(vector: list[float]) -> bytes:
    """The vector at length 1, as floats of 32 bits: so that both forms of the answer say the same numbers."""
    length = math.hypot(*vector) or 1.0
    return struct.pack(f"<{len(vector)}f", *(value / length for value in vector))


def _written(vector: bytes, body: EmbeddingBody) -> list[float] | str:
    if body.encoding_format != "base64":
        return list(struct.unpack(f"<{len(vector) // 4}f", vector))
    return base64.b64encode(vector).decode()
