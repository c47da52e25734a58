"""Memory that is bounded whatever the input is: four times as much text as the process may still take."""

import os
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import pytest
from real_documents import passages, write_jsonl

MADE = """
import re, resource, sys
from dataclasses import replace
from pathlib import Path
from genus.data.corpus import Corpus, make_corpus
from genus.data.pipeline import parts
from genus.data.pipeline.runner import Runner

parts._PART = 2**18  # of text, as small beside this input as it is beside a large one
small, large, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
steps = ("repair", "exact", "fuzzy", "paragraphs", "personal")
recipe = Corpus(source=str(small), out=large.parent / "small-out", steps=steps, partitions=8, runner=Runner(processes=1))
make_corpus(recipe)  # so that all is imported and compiled
taken = int(re.search(r"VmData:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (taken + limit, taken + limit))
print(make_corpus(replace(recipe, source=str(large), out=large.parent / "large-out"))["splits"]["train"]["documents"])
"""
LIMIT = 32 * 2**20


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="how much a process has is read from /proc")
def test_four_times_as_much_text_as_memory(tmp_path: Path) -> None:
    short = passages(4000)
    texts = ["\n\n".join(short[at : at + 8]) for at in range(0, len(short), 8)]  # numbers of a document are small beside it
    records = []
    size = 0
    for number, text in enumerate(cycle(texts)):
        if size > 4 * LIMIT:
            break
        shift = 7 * (number // len(texts) + 1)  # so that a text that comes again is no copy
        words = text.split(" ")
        mixed = " ".join(word for at in range(shift) for word in words[at::shift])
        records.append({"id": f"d{number}", "text": mixed if number % 10 else text})
        size += len(text.encode())
    source = write_jsonl(tmp_path / "large", records, files=8)
    small = write_jsonl(tmp_path / "small", records[:200])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", MADE, str(small), str(source), str(LIMIT)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert int(ran.stdout) > 0.7 * len(records)
