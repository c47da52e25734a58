"""F45-F47: model folders that are hostile, damaged, or of something else. One sentence each, and nothing is run."""

import dataclasses
import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from genus.core.errors import GenusError
from genus.engine.model import Model, load
from genus.models import weights, written
from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.importing import import_model
from genus.models.initialise import initialise
from genus.models.rules import Rename
from genus.models.weights import config_of, load_model, save_model
from genus.tokenizers.bytelevel import train


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spec = spec_of("llama", vocab=30, context=16, width=12, depth=2, heads=3)
    model = LanguageModel(spec)
    initialise(model, family_named("llama").init(spec), seed=0)
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", model, family_named("llama"))
    load_model(tmp_path / "model")
    return tmp_path / "model"


def change_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change_tensors(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("ran-code"),)


# F45


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_f45_pickles_are_refused_by_name(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(GenusError, match=rf"{name}, a pickle.*genus import"):
        load(folder)


def test_f45_a_pickle_given_as_the_model(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(GenusError, match="is a file"):
        load(tmp_path / "model.pt")


def test_f45_import_converts_plain_weights_and_runs_no_module_that_lies_there(folder, tmp_path, monkeypatch):
    tensors = load_file(folder / "model.safetensors")
    (folder / "torch.py").write_text("from pathlib import Path; Path('ran-code').touch()")
    monkeypatch.chdir(folder)
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    import_model(str(folder), tmp_path / "converted")
    again = load_file(tmp_path / "converted" / "model.safetensors")
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    assert tensors.keys() == again.keys()
    assert not (folder / "ran-code").exists()


def test_f45_import_runs_no_code(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    (folder / "model.safetensors").unlink()
    with pytest.raises(GenusError, match="not a plain file of weights"):
        import_model(str(folder), tmp_path / "converted")
    assert not (tmp_path / "ran-code").exists()
    assert not (tmp_path / "converted").exists()


def test_f45_import_converts_shards_and_refuses_a_tensor_in_two(folder, tmp_path):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    for number, part in enumerate((names[:5], names[5:]), start=1):
        torch.save({name: tensors[name] for name in part}, folder / f"pytorch_model-0000{number}-of-00002.bin")
    import_model(str(folder), tmp_path / "converted")
    again = load_file(tmp_path / "converted" / "model.safetensors")
    assert again.keys() == tensors.keys()
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    torch.save({name: tensors[name] for name in names[4:]}, folder / "pytorch_model-00002-of-00002.bin")
    with pytest.raises(GenusError, match="is in two files"):
        import_model(str(folder), tmp_path / "twice")


# F46


def header(file: bytes) -> tuple[dict, bytes]:
    size = struct.unpack("<Q", file[:8])[0]
    return json.loads(file[8 : 8 + size]), file[8 + size :]


def with_header(content: dict | str, data: bytes) -> bytes:
    text = (content if isinstance(content, str) else json.dumps(content)).encode()
    return struct.pack("<Q", len(text)) + text + data


def damaged(file: bytes) -> dict[str, bytes]:
    content, data = header(file)
    name = "lm_head.weight"
    outside = {**content, name: {**content[name], "data_offsets": [0, 10**15]}}
    overlapping = {**content, name: {**content[name], "data_offsets": content["model.norm.weight"]["data_offsets"]}}
    strange = {**content, name: {**content[name], "dtype": "PICKLE"}}
    negative = {**content, name: {**content[name], "shape": [-1, 12]}}
    huge = {**content, name: {**content[name], "shape": [2**62, 2**62]}}
    twice = json.dumps(content)[:-1] + f', "{name}": {json.dumps(content[name])}' + "}"
    return {
        "absurd shape": with_header(huge, data),
        "a name twice": with_header(twice, data),
        "empty": b"",
        "seven bytes": file[:7],
        "cut in the header": file[:40],
        "cut in the data": file[:-5],
        "longer than it says": file + b"1234",
        "huge header": struct.pack("<Q", 2**62) + file[8:],
        "not JSON": struct.pack("<Q", 4) + b"{{{{" + data,
        "offsets outside": with_header(outside, data),
        "offsets overlapping": with_header(overlapping, data),
        "unknown dtype": with_header(strange, data),
        "negative shape": with_header(negative, data),
    }


@pytest.mark.parametrize("damage", list(damaged(with_header(
    {"lm_head.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
     "model.norm.weight": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)))))  # fmt: skip
def test_f46_damaged_safetensors(folder, damage):
    path = folder / "model.safetensors"
    path.write_bytes(damaged(path.read_bytes())[damage])
    with pytest.raises(GenusError, match=r"model\.safetensors|cannot be read"):
        load(folder)


@pytest.mark.parametrize("change, match", [
    (lambda t: t["model.norm.weight"].fill_(float("nan")), "model.norm.weight holds NaN"),
    (lambda t: t["lm_head.weight"].view(-1)[7:8].fill_(float("inf")), "lm_head.weight holds NaN or infinity"),
    (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), "model.layers.1.mlp.up_proj.weight is missing"),
    (lambda t: t.update({"model.layers.2.mlp.up_proj.weight": torch.zeros(3)}), "model.layers.2.mlp.up_proj.weight"),
    (lambda t: t.update({"extra": torch.zeros(3)}), "extra"),
    (lambda t: t.update({"lm_head.weight": torch.zeros(30, 13)}), r"lm_head.weight has shape \[30, 13\]"),
    (lambda t: t.update({"lm_head.weight": torch.zeros(30, 12, dtype=torch.int32)}), "lm_head.weight is I32"),
])  # fmt: skip
def test_f46_wrong_tensors_are_named(folder, change, match):
    change_tensors(folder, change)
    with pytest.raises(GenusError, match=match):
        load(folder)


@pytest.mark.parametrize("name", ["evil\x1b[31m\x00", "x" * 5000, "../../etc/passwd", "/etc/passwd", "a\nb", "\u202egnp"])
def test_f46_hostile_tensor_names(folder, name):
    change_tensors(folder, lambda t: t.update({name: torch.zeros(3)}))
    with pytest.raises(GenusError, match="names a tensor") as caught:
        load(folder)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def split(folder: Path, *shards: list[str]) -> dict[str, str]:
    """Divide the weights into shards by the given names; the last one takes the rest. Gives the index's map."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    rest = sorted(tensors.keys() - {name for names in shards for name in names})
    places = {}
    for number, names in enumerate((*shards, rest)):
        save_file({name: tensors[name] for name in names}, folder / f"part-{number}.safetensors")
        places |= dict.fromkeys(names, f"part-{number}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return places


def test_f46_one_tensor_in_two_shards(folder):
    split(folder, ["lm_head.weight"])
    load(folder)
    change = load_file(folder / "part-1.safetensors") | {"lm_head.weight": torch.zeros(30, 12)}
    save_file(change, folder / "part-1.safetensors")
    with pytest.raises(GenusError, match=r"lm_head\.weight is in both part-0\.safetensors and part-1\.safetensors"):
        load(folder)


def test_f46_an_index_that_lies(folder):
    places = split(folder, ["lm_head.weight"])
    index = folder / "model.safetensors.index.json"
    for wrong in ({"lm_head.weight": "part-1.safetensors"}, {"ghost": "part-0.safetensors"}):
        index.write_text(json.dumps({"weight_map": places | wrong}))
        with pytest.raises(GenusError, match=rf"says that {min(wrong)} is in {min(wrong.values())}, which lacks it"):
            load(folder)
    index.write_text(json.dumps({"weight_map": places | {"ghost": "part-2.safetensors"}}))
    with pytest.raises(GenusError, match=r"part-2\.safetensors is not a whole"):
        load(folder)
    index.write_text('{"weight_map": {"a": "part-0.safetensors", "a": "part-1.safetensors"}}')
    with pytest.raises(GenusError, match="'a' is given twice"):
        load(folder)


def test_f46_tied_weights(folder):
    """Tied by config: absent is right, present and equal is right, present and different is said."""
    tensors = load_file(folder / "model.safetensors")
    change_config(folder, tie_word_embeddings=True)
    with pytest.raises(GenusError, match=r"lm_head\.weight is tied.*differs"):
        load(folder)
    change_tensors(folder, lambda t: t.update({"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}))
    load(folder)
    change_tensors(folder, lambda t: t.pop("lm_head.weight"))
    load(folder)
    change_config(folder, tie_word_embeddings=False)
    with pytest.raises(GenusError, match=r"lm_head\.weight is missing"):
        load(folder)


def test_f46_fused_tensor_of_the_wrong_shape(tmp_path):
    spec = spec_of("bloom", vocab=30, context=16, width=12, depth=1, heads=3)
    model = LanguageModel(spec)
    initialise(model, family_named("bloom").init(spec), seed=0)
    tmp_path.joinpath("model").mkdir()
    save_model(tmp_path / "model", model, family_named("bloom"))
    name = "transformer.h.0.self_attention.query_key_value.weight"
    change_tensors(tmp_path / "model", lambda t: t.update({name: torch.zeros(35, 12)}))
    with pytest.raises(GenusError, match=r"query_key_value\.weight has shape \[35, 12\]"):
        load(tmp_path / "model")


def test_names_without_the_prefix_and_dead_buffers_are_accepted(tmp_path):
    """As older published files have them."""
    spec = spec_of("gpt2", vocab=30, context=16, width=12, depth=1, heads=3)
    model = LanguageModel(spec)
    initialise(model, family_named("gpt2").init(spec), seed=0)
    tmp_path.joinpath("model").mkdir()
    save_model(tmp_path / "model", model, family_named("gpt2"))
    tensors = load_file(tmp_path / "model" / "model.safetensors")
    old = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    save_file({**old, "h.0.attn.bias": torch.ones(1, 1, 16, 16)}, tmp_path / "model" / "model.safetensors")
    again, _ = load_model(tmp_path / "model")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


class Forgetful(Rename):
    """A rule whose two directions disagree."""

    def save(self, spec, tensors):
        return tensors[0].flip(0)


def test_f46_a_save_that_does_not_read_back_is_refused(folder, tmp_path):
    model, family = load_model(folder)
    rules = tuple(Forgetful(r.theirs, *r.ours) if r.theirs == "model.norm.weight" else r for r in family.rules)
    with torch.no_grad():
        model.decoder.norm.weight.copy_(torch.arange(12.0))
    broken = Model(model, dataclasses.replace(family, rules=rules))
    with pytest.raises(GenusError, match=r"decoder\.norm\.weight is not read as it was saved"):
        broken.save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    Model(model, family).save(tmp_path / "saved")


def test_f46_a_spec_that_does_not_read_back_is_refused(folder, tmp_path, monkeypatch):
    model, family = load_model(folder)
    monkeypatch.setattr(weights, "config_of", lambda *given: {**config_of(*given), "rms_norm_eps": 0.5})
    with pytest.raises(GenusError, match="is not read with the norm it was saved with"):
        Model(model, family).save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_f46_a_save_of_weights_that_are_not_finite_is_refused(folder, tmp_path):
    model, family = load_model(folder)
    with torch.no_grad():
        model.decoder.norm.weight[3] = float("nan")
    with pytest.raises(GenusError, match=r"model\.norm\.weight holds NaN"):
        Model(model, family).save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_f46_a_sum_that_overflows_is_not_taken_for_infinity(folder):
    change_tensors(folder, lambda t: t["model.norm.weight"].fill_(3e38))
    assert load_model(folder)[0].decoder.norm.weight[0] == torch.tensor(3e38)


def test_f46_writing_to_a_loaded_model_leaves_its_folder_alone(folder):
    """Parameters are mapped files; training writes to them."""
    before = (folder / "model.safetensors").read_bytes()
    model, _ = load_model(folder)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert (folder / "model.safetensors").read_bytes() == before


# F47


@pytest.mark.parametrize("values, match", [
    ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
    ({"num_hidden_layers": 10**9}, "memory"),
    ({"num_hidden_layers": 10**12}, "depth"),
    ({"num_hidden_layers": 10**5}, "100,000 layers, the weights 21 tensors"),
    ({"num_hidden_layers": "two"}, "num_hidden_layers = 'two'"),
    ({"num_hidden_layers": -1}, "num_hidden_layers"),
    ({"num_hidden_layers": True}, "num_hidden_layers"),
    ({"num_hidden_layers": 2.5}, "num_hidden_layers"),
    ({"num_attention_heads": 5, "num_key_value_heads": 5, "head_dim": None}, "heads = 5 does not divide width = 12"),
    ({"num_key_value_heads": 2}, "does not divide attention.heads"),
    ({"model_type": "mystery"}, "'mystery'"),
    ({"model_type": None}, "not one that Genus reads"),
    ({"hidden_act": "mish"}, "'mish'"),
    ({"rms_norm_eps": "nan"}, "rms_norm_eps"),
    ({"rope_parameters": {"rope_type": "llama3"}}, "original_max_position_embeddings"),
    ({"rope_scaling": {"type": "linear", "factor": 2}}, "rope_type"),
    ({"rope_scaling": [1]}, "rope_parameters"),
    ({"vocab_size": 10**10}, "vocab"),
])  # fmt: skip
def test_f47_configs(folder, values, match):
    change_config(folder, **values)
    with pytest.raises(GenusError, match=match):
        load(folder)


@pytest.mark.parametrize("text", ["", "[1]", "{", '"config"', '{"a": 1, "a": 2}', "[" * 10**5, '{"a": 1' + "0" * 5000 + "}"])
def test_f47_config_that_is_no_object(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(GenusError, match=r"config\.json"):
        load(folder)


def test_f47_an_index_that_leads_out_of_the_folder(folder):
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    index = {"weight_map": {"lm_head.weight": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(GenusError, match="outside its folder"):
        load(folder)


def test_f47_the_tokenizer_of_another_vocabulary(folder, tmp_path):
    train(iter(["a few words, and then some more words"] * 9), 260).save(folder)
    with pytest.raises(GenusError, match=r"its tokenizer has \d+ ids, its embedding 30 rows"):
        import_model(str(folder), tmp_path / "imported")
    assert not (tmp_path / "imported").exists()
    with pytest.raises(GenusError, match=r"its tokenizer has \d+ ids, its embedding 30 rows"):
        load(folder)


def test_f47_links_out_of_the_folder_are_not_copied(folder, tmp_path):
    secret = tmp_path / "id_rsa"
    secret.write_text("secret")
    (folder / "LICENSE").symlink_to(secret)
    with pytest.raises(GenusError, match="LICENSE leads out of its folder"):
        import_model(str(folder), tmp_path / "imported")
    assert not (tmp_path / "imported").exists()


def test_a_folder_as_the_hub_caches_it_is_imported(folder, tmp_path):
    """Links from snapshots/COMMIT into blobs/."""
    (tmp_path / "hub" / "blobs").mkdir(parents=True)
    snapshot = tmp_path / "hub" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(tmp_path / "hub" / "blobs" / str(number))
        (snapshot / path.name).symlink_to(Path("../../blobs") / str(number))
    import_model(str(snapshot), tmp_path / "imported")
    assert not any(path.is_symlink() for path in (tmp_path / "imported").iterdir())
    load(tmp_path / "imported")


def test_an_import_names_the_source_and_leaves_nothing(folder, tmp_path):
    change_tensors(folder, lambda t: t["model.norm.weight"].fill_(float("nan")))
    with pytest.raises(GenusError) as caught:
        import_model(str(folder), tmp_path / "imported")
    assert str(caught.value).startswith(f"{folder}: model.norm.weight holds NaN")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
    (tmp_path / "imported").mkdir()
    with pytest.raises(GenusError, match="imported exists; choose another --out"):
        import_model(str(folder), tmp_path / "imported")


def test_an_empty_or_missing_folder(tmp_path):
    with pytest.raises(GenusError, match=r"no config\.json"):
        load(tmp_path)
    with pytest.raises(GenusError, match="not a folder that exists"):
        load(tmp_path / "missing")


def test_large_models_are_split_with_an_index(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(written, "_SHARD_BYTES", 3000)
    model, family = load_model(folder)
    (tmp_path / "split").mkdir()
    save_model(tmp_path / "split", model, family)
    files = sorted(path.name for path in (tmp_path / "split").glob("*.safetensors"))
    assert len(files) > 2
    assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    again, _ = load_model(tmp_path / "split")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
