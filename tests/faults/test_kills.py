"""kill -9, again and again, at moments drawn at random: a run always goes on, and no checkpoint is ever torn or lost.

Real processes: a parent that has PyTorch loaded forks one that trains, kills it, looks at what it left, and forks the next.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PARENT = """
import hashlib, json, os, random, signal, sys, time
from pathlib import Path
import pytest, torch, torch._dynamo  # what the first optimizer imports, for seconds
import genus.train.run as run_module
from genus.core.progress import set_quiet
from genus.train.pretrain import pretrain
from genus.train.recipe import Every, ModelRecipe, Recovery
from tests.train.planted import plant
from tests.train.tiny import tiny_recipe

shards, out, kills, steps, seed = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])
MACHINE = {"device": "cpu", "name": "Abacus", "threads": 1, "system": "Linux", "python": "3", "torch": "2",
           "precision": "fp32", "matmul_flops": 2e9}
run_module.describe = lambda *_: MACHINE  # a second of every start
set_quiet(True)

def train(folder):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with pytest.MonkeyPatch.context() as monkeypatch:
            plant(monkeypatch, {70: float("nan")})
            pretrain(tiny_recipe(
                shards, folder, steps, model=ModelRecipe(family="llama", context=16, width=8, depth=1, heads=2),
                every=Every(validate=40, sample=0, checkpoint=5, keep=3), batch=2, micro_batch=2, tokens=steps * 32,
                recovery=Recovery(spike="rollback", back=10, ahead=3)))
        code = 0
    except BaseException as error:
        print(type(error), error, file=sys.stderr)
    finally:
        os._exit(code)

def whole(checkpoint):
    sums = json.loads((checkpoint / "sha256.json").read_text())
    for name, digest in sums.items():
        assert hashlib.sha256((checkpoint / name).read_bytes()).hexdigest() == digest, checkpoint / name
    return json.loads((checkpoint / "state.json").read_text())["extra"]["recovery"]["spikes"]

def same(run):
    for name in (f"checkpoints/step-{steps}/model.safetensors", f"checkpoints/step-{steps}/optimizer.safetensors",
                 "model/model.safetensors"):
        assert (run / name).read_bytes() == (out / "straight" / name).read_bytes(), run / name
    kept = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert kept == sorted(f"step-{step}" for step in (steps, steps - 5, steps - 10)), kept

began = time.monotonic()
assert os.waitpid(train(out / "straight"), 0)[1] == 0
length = time.monotonic() - began
draw, reached, done, runs, before = random.Random(seed), [], 0, 1, (0, -1)
while done < kills:
    run = out / f"killed-{runs}"
    pid = train(run)
    time.sleep(draw.uniform(0, 6 * length / kills))
    os.kill(pid, signal.SIGKILL)
    if os.waitpid(pid, 0)[1] == 0:  # it was over before: the same again from the start
        same(run)
        runs, before = runs + 1, (0, -1)
        continue
    done += 1
    found = {int(path.name[5:]): whole(path) for path in (run / "checkpoints").glob("step-*")}
    if found:  # further than before; a detour counts as far, though it leads back
        now = max((len(spikes), step) for step, spikes in found.items())
        assert now >= before, (now, before)
        before = now
        reached.append(max(found))
while os.waitpid(train(run), 0)[1]:
    pass
same(run)
print(json.dumps({"kills": done, "runs": runs, "reached": reached, "seconds": time.monotonic() - began}))
"""


def chain(shards: Path, out: Path, kills: int, steps: int) -> dict:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", PARENT, str(shards), str(out), str(kills), str(steps), "1"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kills", [12, pytest.param(50, marks=pytest.mark.slow)])
def test_f49_killed_at_random_it_is_the_straight_run(tiny_shards, tmp_path, kills):
    """200 steps, with a batch of NaN that the run goes back for."""
    told = chain(tiny_shards, tmp_path, kills, 200)
    assert told["kills"] == kills
    assert told["runs"] > 1 or max(told["reached"]) >= 100, told  # killed all along the way
    assert len(set(told["reached"])) >= kills / 4, told
