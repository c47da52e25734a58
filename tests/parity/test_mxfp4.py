"""MXFP4: decoded by the table in plain Python, and as transformers decodes it."""

import torch

from genus.models.mxfp4 import decode

TABLE = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]


def some_bytes(*shape: int, low: int = 0, high: int = 256) -> torch.Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.uint8)


def test_decode_by_the_table():
    blocks, scales = some_bytes(2, 3, 4, 16), some_bytes(2, 3, 4, low=100, high=150)
    decoded = decode(blocks, scales)
    assert decoded.shape == (2, 3, 128)
    for expert in range(2):
        for row in range(3):
            for column in range(128):
                group, place = divmod(column, 32)
                byte = int(blocks[expert, row, group, place // 2])
                code = byte % 16 if place % 2 == 0 else byte // 16
                assert decoded[expert, row, column] == TABLE[code] * 2.0 ** (int(scales[expert, row, group]) - 127)


def test_decode_as_transformers():
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    blocks, scales = some_bytes(3, 6, 5, 16), some_bytes(3, 6, 5, low=110, high=140)
    theirs = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)  # (experts, in, rows)
    assert torch.equal(decode(blocks, scales).mT, theirs)
