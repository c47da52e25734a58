"""Limits in bytes for each language: which documents of a full language are left out, by luck that seed and id decide.

A step over all documents at once, on a table of numbers; it sees no text. BLOOM's corpus is here as a table of such limits.
"""

from collections.abc import Mapping
from typing import Any

from genus.core.errors import GenusError
from genus.data.steps.columns import luck

__all__ = ["CODE", "ROOTS", "ROOTS_CODE_FILES", "over_budget", "roots_limits"]

CODE = "code"  # the language, in tables and limits, of all source code; that of one is "code/python"

ROOTS = {
    "ak": 701_554, "ar": 74_854_900_600, "as": 291_522_098, "bm": 391_747, "bn": 18_606_823_104, "ca": 17_792_493_289,
    "en": 484_953_009_124, "es": 175_098_365_045, "eu": 2_360_470_848, "fon": 2_478_546, "fr": 208_242_620_434,
    "gu": 1_199_986_460, "hi": 24_622_119_985, "id": 19_972_325_222, "ig": 14_078_521, "ki": 359_615, "kn": 2_098_453_560,
    "lg": 4_568_367, "ln": 1_650_804, "ml": 3_662_571_498, "mr": 1_775_483_122, "ne": 2_551_307_393, "nso": 1_764_506,
    "ny": 1_187_405, "or": 1_157_100_133, "pa": 1_572_109_752, "pt": 79_277_543_375, "rn": 3_272_550, "rw": 40_428_299,
    "sn": 6_638_639, "st": 751_034, "sw": 236_482_543, "ta": 7_989_206_220, "te": 2_993_407_159, "tn": 1_502_200,
    "ts": 707_634, "tum": 170_360, "tw": 1_265_041, "ur": 2_781_329_959, "vi": 43_709_279_959, "wo": 3_606_973,
    "xh": 14_304_074, "yo": 89_695_835, "zh-Hans": 261_019_433_892, "zh-Hant": 762_489_150, "zu": 8_511_561,
    CODE: 174_700_245_772,
}  # fmt: skip
"""Bytes of BLOOM's 46 natural languages and of its 13 programming languages together (arXiv 2211.05100, table 1; ROOTS is
described in 2303.03915). The paper prints Akan as "70,1554"."""

ROOTS_CODE_FILES = {
    "c": 134_537, "c#": 1_577_347, "c++": 3_462_166, "go": 227_763, "java": 5_407_724, "javascript": 1_905_518,
    "lua": 352_317, "php": 4_952_893, "python": 2_435_072, "ruby": 678_413, "rust": 29_693, "scala": 92_052,
    "typescript": 228_361,
}  # fmt: skip
"""Files in each programming language, summed over their suffixes (BLOOM's model card). Their bytes we have not found."""


def roots_limits(total: int) -> dict[str, int]:
    """BLOOM's shares of `total` bytes. The two Chineses are one, "zh", which language identification does not tell apart."""
    sizes = {name: size for name, size in ROOTS.items() if not name.startswith("zh")}
    sizes["zh"] = ROOTS["zh-Hans"] + ROOTS["zh-Hant"]
    whole = sum(sizes.values())
    return {name: total * size // whole for name, size in sorted(sizes.items())}


def over_budget(table: Any, limits: Mapping[str, int], seed: int = 0) -> Any:
    """Which documents do not fit: from an Arrow table of id, language and bytes to one of id, reason and detail, by id.

    The limit of a document is that of its language, or of the longest beginning that has one: "zh" for zh-Hant, "code" for
    code/python. Documents are taken in the order of hash(seed, id) as long as all taken together fit, those aside that are
    larger than the limit alone; so what is taken falls short by one document at most. A language without a limit is kept
    whole. Memory holds the ids of one full language at a time. Raises GenusError for a limit below 0.
    """
    import numpy as np
    import pyarrow as pa

    for name, limit in limits.items():
        if limit < 0:
            raise GenusError(f"the budget of {name} is {limit:,} bytes; give 0 or more")
    encoded = table["language"].combine_chunks().dictionary_encode()
    names = [_limited(name, limits) for name in encoded.dictionary.to_pylist()]
    codes, sizes = encoded.indices.to_numpy(), table["bytes"].to_numpy()
    dropped: list[dict[str, str]] = []
    for name in sorted({name for name in names if name is not None}):
        rows = np.flatnonzero(np.isin(codes, [i for i, each in enumerate(names) if each == name]))
        limit = limits[name]
        if sizes[rows].sum() <= limit:
            continue
        ids = table["id"].take(rows).to_pylist()
        order = np.array(sorted(range(len(ids)), key=[(luck(seed, id), id) for id in ids].__getitem__))
        fits = sizes[rows][order] <= limit
        fits &= np.cumsum(np.where(fits, sizes[rows][order], 0)) <= limit
        detail = f"of {sizes[rows].sum():,} bytes, at most {limit:,}"
        dropped += [{"id": ids[i], "reason": f"budget: {name} is full", "detail": detail} for i in order[~fits]]
    dropped.sort(key=lambda row: row["id"])
    return pa.Table.from_pylist(dropped, pa.schema({key: pa.string() for key in ("id", "reason", "detail")}))


def _limited(language: str | None, limits: Mapping[str, int]) -> str | None:
    """The longest beginning of a tag that has a limit; tags are cut at "-", and code at "/"."""
    tag = (language or "").lower()
    fitting = [name for name in limits if tag == name.lower() or tag.startswith((f"{name.lower()}-", f"{name.lower()}/"))]
    return max(fitting, key=len, default=None)
