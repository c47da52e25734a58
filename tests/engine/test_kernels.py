"""The kernels against PyTorch and against what a format promises."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genus.engine.kernels import program
from genus.engine.kernels.program import activate_op, gather_op, norm_op, rotate_op, run, table
from genus.engine.packed import BYTES, PackedLinear, PackedModel
from genus.models.parts.mlp import activate
from genus.models.parts.norm import make_norm
from genus.models.parts.position import rotate, rotation
from genus.models.spec import Mlp, Norm, Rotary
from tests.engine.test_routes import make_model

SHAPES = [(1, 1), (48, 24), (50, 33), (33, 64), (257, 100), (96, 320)]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def as_read(layer: PackedLinear) -> torch.Tensor:
    """The weight that a product uses."""
    return layer(torch.eye(layer.columns)).T - layer.bias[: layer.rows, None]


@pytest.mark.parametrize("form", BYTES)
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_a_product_is_its_weight_s(form, rows, columns):
    weight, bias, x = drawn(rows, columns), drawn(rows, seed=1), drawn(7, columns, seed=2)
    layer = PackedLinear(weight, bias, form)
    torch.testing.assert_close(layer(x), F.linear(x, as_read(layer), bias), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(layer(x[None, :3]), layer(x)[None, :3], atol=0, rtol=0)


@pytest.mark.parametrize("form", BYTES)
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_a_row_of_a_product_depends_on_nothing_beside_it(form, rows, columns):
    layer, x = PackedLinear(drawn(rows, columns), None, form), drawn(40, columns, seed=2)
    whole = layer(x)
    for count in (1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 18, 40):
        assert torch.equal(layer(x[-count:]), whole[-count:])
    x[3] = float("nan")
    assert torch.equal(layer(x)[4:], whole[4:])
    assert layer(x)[3].isnan().all()


def test_threads_change_no_bit():
    layer, x, threads = PackedLinear(drawn(200, 90), None, "int8"), drawn(9, 90), torch.get_num_threads()
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(layer(x))
    torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_formats_round_as_they_say(rows, columns):
    weight = drawn(rows, columns)
    read = {form: as_read(PackedLinear(weight, None, form)) for form in BYTES}
    assert torch.equal(read["fp32"], weight)
    assert torch.equal(read["bf16"], weight.bfloat16().float())
    for group, eight, four in zip(*(each.split(32, 1) for each in (weight, read["int8"], read["int4"])), strict=True):
        step = group.abs().amax(1, keepdim=True) / 127
        assert ((group - eight).abs() <= 0.51 * step + 127 * step * 2**-8).all()  # the scale is rounded to bf16 as well
        least, greatest = group.amin(1, keepdim=True), group.amax(1, keepdim=True)
        slack = (least.abs() + greatest - least) * 2**-8
        assert ((group - four).abs() <= 0.51 * (greatest - least) / 15 + slack).all()


def test_zeros_and_constants_pack_in_every_format():
    for form in BYTES:
        assert torch.equal(as_read(PackedLinear(torch.zeros(40, 70), None, form)), torch.zeros(40, 70))
        read = as_read(PackedLinear(torch.full((40, 70), 0.5), None, form))
        torch.testing.assert_close(read, torch.full((40, 70), 0.5), atol=0, rtol=2**-8)


def test_packing_leaves_the_network_as_it_is():
    network = make_model("gpt2")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    packed = PackedModel(network, "int4")
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert packed.decoder.embed.weight.data_ptr() == network.decoder.embed.weight.data_ptr()  # no second table
    assert not any(isinstance(part, nn.Linear) for part in packed.modules())


def rows_of(x: torch.Tensor) -> tuple[int, int]:
    return x.data_ptr(), 4 * x.stride(0)


@pytest.mark.parametrize("kind", ["gelu", "gelu_tanh", "quick_gelu", "relu", "relu_squared", "silu"])
@pytest.mark.parametrize("gated", [False, True])
def test_activations(kind, gated):
    edge = [0.0, -0.0, 1e-30, -1e-30, 88.0, -88.0, 1e4, -1e4]
    up = torch.cat((torch.linspace(-12, 12, 24 * 16 - 8), torch.tensor(edge))).view(16, 24).contiguous()
    gate = up.flip(0).contiguous() if gated else None
    mlp = Mlp(hidden=24, activation=kind, gated=gated, clamp=7.0 if gated else None, shift=1.0 if gated else 0.0)
    exact = activate(mlp, up.double(), None if gate is None else gate.double())  # PyTorch's own fp32 is off by 4e-6
    expected, numbers = exact.float(), torch.tensor([7.0, 1.0])
    gated_by = (0, 0, 0) if gate is None else (gate.data_ptr(), numbers.data_ptr(), numbers[1:].data_ptr())
    run("fp32", table([activate_op(up.data_ptr(), gated_by[0], (4 * 24, 3), kind, *gated_by[1:])]), 16)
    torch.testing.assert_close(up, expected, atol=4e-6, rtol=2e-6)


@pytest.mark.parametrize("kind", ["gelu", "gelu_tanh", "quick_gelu", "relu", "relu_squared", "silu"])
def test_a_number_that_is_none_stays_none(kind):
    x = torch.full((1, 8), float("nan"))
    run("fp32", table([activate_op(x.data_ptr(), 0, (32, 1), kind)]), 1)
    assert x.isnan().all()


@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize("width", [5, 8, 24, 77])
def test_norms(kind, width):
    norm = make_norm(Norm(kind=kind, eps=1e-5, gain=True, bias=kind == "layer"), width)
    bias = getattr(norm, "bias", None)
    with torch.no_grad():
        for part in norm.parameters():
            part.copy_(drawn(width, seed=3))
        x = 3 * drawn(4, 2 * width) + 1
        expected = norm(x.unflatten(1, (2, width))).flatten(1)
    y, eps = torch.empty_like(x), torch.tensor([1e-5])
    numbers = norm.weight.data_ptr(), 0 if bias is None else bias.data_ptr(), eps.data_ptr()
    run("fp32", table([norm_op(rows_of(x), rows_of(y), numbers, (width, 2), kind == "layer")]), 4)
    torch.testing.assert_close(y, expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("pairs", ["neighbours", "halves"])
def test_rotations(pairs):
    spec, x = Rotary(dim=6, pairs=pairs), drawn(5, 3, 10)
    turn = rotation(spec, torch.arange(5)[None])
    expected = rotate(spec, x[None], turn)[0]
    step = np.zeros(16, np.int64)
    angles = [each.contiguous() for each in turn]
    step[8:10] = [each.data_ptr() for each in angles]
    run("fp32", table([rotate_op((x.data_ptr(), 4 * 30), 3, 10, 3, pairs == "neighbours")]), 5, step.ctypes.data)
    torch.testing.assert_close(x, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("width", [3, 8, 21])
def test_rows_of_a_table(width):
    source, index, step = drawn(9, width), np.array([4, 0, 4]), np.zeros(16, np.int64)
    step[11] = index.ctypes.data
    y = drawn(3, width, seed=1)
    expected = y + source[index]
    run("fp32", table([gather_op(rows_of(y), rows_of(source), width, 11, added=True)]), 3, step.ctypes.data)
    assert torch.equal(y, expected)


def test_without_openmp_one_thread_does_the_work():
    script = """
import torch
from genus.engine.kernels import simd
from genus.engine.packed import PackedLinear
simd._library = lambda: None
torch.set_num_threads(2)
draw = torch.Generator().manual_seed(0)
layer = PackedLinear(torch.randn(100, 40, generator=draw), None)
print(layer(torch.ones(9, 40)).double().sum().item())
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    layer = PackedLinear(drawn(100, 40), None)
    assert float(found) == layer(torch.ones(9, 40)).double().sum().item()


def test_a_kept_kernel_is_known_by_all_sources():
    """Numba looks at the file of the compiled function alone; see kernels/program.py."""
    folder = Path(program.__file__).parent
    version = zlib.crc32(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py"))))
    assert all(kernel.__qualname__.endswith(f"_{version:08x}") for kernel in program._PROGRAMS.values())


def test_kernels_that_other_processes_compiled_are_not_mixed_up(tmp_path):
    """Each format by a process of its own, and then all from disk in one."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def python(script: str) -> str:
        command = [sys.executable, "-c", script]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    for form in BYTES:
        python(f"from genus.engine.kernels import program, simd; simd._compiled(program._PROGRAMS[{form!r}])")
    script = """
import torch
from genus.engine.packed import BYTES, PackedLinear
for form in BYTES:
    layer = PackedLinear(torch.randn(96, 70, generator=torch.Generator().manual_seed(0)), None, form)
    print([layer(torch.ones(rows, 70)).double().sum().item() for rows in (1, 2, 7)])
"""
    expected = [
        [PackedLinear(drawn(96, 70), None, form)(torch.ones(rows, 70)).double().sum().item() for rows in (1, 2, 7)]
        for form in BYTES
    ]
    assert python(script) == "".join(f"{each}\n" for each in expected)
