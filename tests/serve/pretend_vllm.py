"""A program that speaks as `vllm serve` does, of a model that counts: after token t comes t + 1, each with log p = -0.5.

It is started as `python pretend_vllm.py serve FOLDER --host ... --port ...`. The first token of a prompt may ask for a
mishap. GET /asked tells the bodies that came, and how many of their clients left.
"""

import asyncio
import json
import os
import sys

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

VOCAB = 288
FAILS, DIES, HANGS, ODD = 1, 2, 3, 4
asked, left = [], []
app = FastAPI()


@app.get("/health")
async def health():
    return PlainTextResponse("")


@app.get("/metrics")
async def metrics():
    return PlainTextResponse('# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine="0"} 3.0\n')


@app.get("/asked")
async def tell():
    return {"asked": asked, "left": len(left), "argv": sys.argv[1:]}


@app.get("/v1/models")
async def models():
    return {"data": [{"id": "model", "max_model_len": 200}]}


@app.post("/v1/completions")
async def completions(http: Request):
    if http.headers["authorization"] != f"Bearer {os.environ['VLLM_API_KEY']}":
        return JSONResponse({"error": {"message": "no key"}}, 401)
    body = await http.json()
    asked.append(body)
    if body["n"] > 1 and body["temperature"] == 0:
        return JSONResponse({"error": {"message": "n must be 1\nwhen using greedy sampling"}}, 400)
    if body["stream"]:
        return StreamingResponse(stream(body), media_type="text/event-stream")
    choices = [whole(body, index) for index in range(body["n"])]
    return {"choices": choices}


async def stream(body):
    mishap = body["prompt"][0]
    try:
        if mishap == DIES:
            os._exit(1)
        for chunk in pieces(body):
            yield "data: " + json.dumps({"choices": [chunk]}) + "\n\n"
            await asyncio.sleep(60 if mishap == HANGS else 0)
        if mishap == FAILS:
            yield "data: " + json.dumps({"error": {"message": "out of memory"}}) + "\n\n"
        yield "data: [DONE]\n\n"
    except asyncio.CancelledError:
        left.append(body)
        raise


def said(body, index):
    """A choice's tokens, its end token too, and why it ends: the second choice counts by two, the third by three."""
    tokens, token = [], body["prompt"][-1]
    while len(tokens) < max(1, body["max_tokens"]):
        token = (token + index + 1) % VOCAB
        tokens.append(token)
        if token in body.get("stop_token_ids", ()):
            return tokens, "stop", token
    return tokens, "length", None


def pieces(body):
    """Choices in turn, two tokens at a time, as vLLM does under load."""
    rows = [said(body, index) for index in range(body["n"])]
    for start in range(0, max(len(tokens) for tokens, _, _ in rows), 2):
        for index, (tokens, finish, reason) in enumerate(rows):
            new, last = tokens[start : start + 2], start + 2 >= len(tokens)
            if new and body["prompt"][0] == ODD and last:
                yield choice(body, index, new, "abort", None)
            elif new and not (body["prompt"][0] == FAILS and last):
                yield choice(body, index, new, *((finish, reason) if last else (None, None)))


def choice(body, index, tokens, finish, reason):
    scores = None if body.get("logprobs") is None else scored(tokens, body["logprobs"])
    return {
        "index": index, "text": "?", "token_ids": tokens, "logprobs": scores, "finish_reason": finish, "stop_reason": reason,
    }  # fmt: skip


def scored(tokens, count):
    """The token itself first, as vLLM has it; it is the second likeliest, so that it is told even where one is asked for."""
    tops = []
    for token in tokens:
        others = [(token + far) % VOCAB for far in range(1, VOCAB)]
        best = {others[0]: -0.25} | {other: -1.0 - place for place, other in enumerate(others[1:])}
        kept = list(best.items())[: count if count >= 0 else VOCAB]
        tops.append({f"token_id:{number}": value for number, value in ((token, -0.5), *kept)})
    names = [f"token_id:{token}" for token in tokens]
    return {"tokens": names, "token_logprobs": [-0.5] * len(tokens), "top_logprobs": tops, "text_offset": [0] * len(tokens)}


def whole(body, index):
    tokens, finish, reason = said(body, index)
    told = choice(body, index, tokens, finish, reason)
    if body.get("prompt_logprobs") is not None:
        rows = [
            {str(token): {"logprob": -2.0, "rank": 2}, "0": {"logprob": -1.0, "rank": 1}} for token in body["prompt"][1:]
        ]
        told["prompt_logprobs"] = [None, *rows]
    return told


if __name__ == "__main__":
    assert sys.argv[1] == "serve"
    port = int(sys.argv[sys.argv.index("--port") + 1])
    if "--die" in sys.argv:
        sys.exit(3)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
