"""The loops over words, which Numba compiles: words of texts as numbers, least hashes, sets of shingles, who is kept.

All in one file: what Numba keeps on disk is made anew when the file of a function changes, not when one that it calls does.
What they are for is told in words.py, fuzzy.py, decontaminate.py, rules_view.py and rules_repetition.py.
"""

from typing import Any

import numpy as np
from numba import njit

__all__ = [
    "ALONE",
    "DELETED",
    "SHIFT",
    "SPACE",
    "TABLE",
    "band_numbers",
    "count_known",
    "find_grams",
    "keep_first",
    "mix",
    "most_frequent",
    "read_shapes",
    "read_words",
    "repeated",
    "room",
    "windows",
    "write_windows",
]

kernel: Any = njit(error_model="numpy", nogil=True, cache=True)

SPACE, DELETED, SHIFT = 0, 1, 2
"""An entry of a table of characters: one of the first two, or a lower-case character's code point + SHIFT."""
ALONE = 1 << 31
"""Added to the entry of a character that is a word by itself."""
TABLE = 0x10000
"""Characters in a table, and one entry more, 0, for all others."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@kernel
def mix(x: Any) -> Any:
    """MurmurHash3's last step: every bit of 64 depends on every other."""
    x ^= x >> np.uint64(33)
    x *= np.uint64(0xFF51AFD7ED558CCD)
    x ^= x >> np.uint64(33)
    x *= np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))


@kernel
def _character(data: Any, at: int, end: int) -> tuple[Any, int]:
    """Code point and bytes of the character at `at`. A byte that begins none, in damaged text, stands for itself."""
    first = np.int64(data[at])
    if first >= 0xF0 and at + 3 < end:
        code = (first & 7) << 18 | np.int64(data[at + 1] & 63) << 12 | np.int64(data[at + 2] & 63) << 6
        return code | np.int64(data[at + 3] & 63), 4
    if first >= 0xE0 and at + 2 < end:
        return (first & 15) << 12 | np.int64(data[at + 1] & 63) << 6 | np.int64(data[at + 2] & 63), 3
    if first >= 0xC0 and at + 1 < end:
        return (first & 31) << 6 | np.int64(data[at + 1] & 63), 2
    return first, 1


@kernel
def room(texts: Any) -> int:
    """The most words that one of the texts can have."""
    most = 0
    for i in range(len(texts.bounds) - 1):
        most = max(most, texts.bounds[i + 1] - texts.bounds[i])
    return most // 2 + 1


@kernel
def _keep(words: Any, places: Any, count: int, number: Any, place: tuple[int, int]) -> int:
    words[count] = mix(number)
    if len(places):
        places[count, 0], places[count, 1] = place
    return count + 1


@kernel
def read_words(texts: Any, document: int, words: Any, places: Any) -> int:
    """Write the number of each word of a document to `words`, which needs `room(texts)`; how many.

    `places` (words, 2), unless it is empty, gets where each begins and ends, in characters of the text.
    """
    data, fold = texts.data, texts.fold
    at, end = texts.bounds[document], texts.bounds[document + 1]
    count, place, first, last = 0, 0, -1, 0
    folded: Any
    number = np.uint64(0)
    while at <= end:
        folded, size = SPACE, 1  # as if a space followed the text
        if at < end:
            folded, size = np.int64(data[at]), 1
            if folded >= 0x80:
                folded, size = _character(data, at, end)
            folded = np.int64(fold[min(folded, TABLE)]) + (folded + SHIFT if folded >= TABLE else 0)
        if first >= 0 and (folded == SPACE or folded >= ALONE):
            count, first = _keep(words, places, count, number, (first, last)), -1
        if folded > DELETED:
            if first < 0:
                first, number = place, np.uint64(0)
            number, last = (number ^ np.uint64(folded & (ALONE - 1))) * _MULTIPLIER, place + 1
            if folded >= ALONE:
                count, first = _keep(words, places, count, number, (first, last)), -1
        at, place = at + size, place + 1
    return count


@kernel
def windows(words: Any, count: int, size: int, out: Any) -> int:
    """Write a number for each run of `size` words (of all the words, when there are fewer) to `out`; how many.

    `out` may be `words`: a word has left the sum before the number of the run that it begins takes its place.
    """
    if count == 0:
        return 0
    size = min(size, count)
    oldest = np.uint64(1)
    for _ in range(size - 1):
        oldest *= _MULTIPLIER
    number = np.uint64(0)
    for i in range(count):
        number = number * _MULTIPLIER + words[i]
        if i >= size - 1:
            full = number
            number -= words[i - size + 1] * oldest
            out[i - size + 1] = mix(full)
    return count - size + 1


@kernel
def band_numbers(texts: Any, size: int, factors: Any, terms: Any, out: Any) -> None:
    """Fill `out` (bands, documents) from as many hashes x * factor + term as bands times rows."""
    bands, rows = len(out), len(factors) // len(out)
    words, places = np.empty(room(texts), np.uint64), np.empty((0, 2), np.int64)
    least = np.empty(len(factors), np.uint32)
    for document in range(len(texts.bounds) - 1):
        count = windows(words, read_words(texts, document, words, places), size, words)
        if count == 0:
            continue
        _least(words, count, factors, terms, least)
        for band in range(bands):
            number = np.uint64(band + 1)
            for row in range(rows):
                number = (number ^ np.uint64(least[band * rows + row])) * _MULTIPLIER
            out[band, document] = max(mix(number), np.uint64(1))  # 0 means none


@kernel
def _least(shingles: Any, count: int, factors: Any, terms: Any, least: Any) -> None:
    """Without a branch and in 32 bits, so that it compiles to eight or sixteen hashes an instruction."""
    least[:] = np.uint32(0xFFFFFFFF)
    for i in range(count):
        x = np.uint32(shingles[i] >> np.uint64(32))
        for k in range(len(least)):
            least[k] = min(least[k], np.uint32(x * factors[k] + terms[k]))


@kernel
def write_windows(texts: Any, size: int, out: Any, bounds: Any) -> None:
    """The `windows` of each text, one after the other, and where each text's begin in `out` (documents + 1)."""
    words, places = np.empty(room(texts), np.uint64), np.empty((0, 2), np.int64)
    bounds[0] = 0
    for document in range(len(texts.bounds) - 1):
        count = windows(words, read_words(texts, document, words, places), size, words)
        out[bounds[document] : bounds[document] + count] = words[:count]
        bounds[document + 1] = bounds[document] + count


@kernel
def keep_first(order: Any, found: Any, sets: Any, threshold: float, most: int) -> tuple[Any, Any]:
    """For each document who stays in its place, or -1 when it stays itself, and its Jaccard index with that one."""
    kept, jaccard = np.full(len(order), -1, np.int64), np.zeros(len(order))
    seen = np.full(len(order), -1, np.int64)  # the last document that each kept one was compared with
    buckets = found.buckets.max() + 1 if len(found.buckets) else 0
    heads = np.zeros((buckets + 1, 2), np.int64)  # of a bucket: where its places begin, how many documents it has kept
    for bucket in found.buckets:
        heads[bucket + 1, 0] += 1
    for bucket in range(buckets):
        heads[bucket + 1, 0] = heads[bucket, 0] + min(heads[bucket + 1, 0], most)
    ranks = np.empty(heads[buckets, 0], np.int64)  # the kept of each bucket, as places in `order`, in ascending order
    for rank in range(len(order)):
        document, first = order[rank], rank
        mine = found.buckets[found.bounds[document] : found.bounds[document + 1]]
        for bucket in mine:
            for at in range(heads[bucket, 0], heads[bucket, 0] + heads[bucket, 1]):
                if ranks[at] >= first:
                    break
                if seen[ranks[at]] != rank:
                    seen[ranks[at]] = rank
                    near = _jaccard(sets, document, order[ranks[at]], threshold)
                    if near >= threshold:
                        first, kept[document], jaccard[document] = ranks[at], order[ranks[at]], near
        for bucket in mine:
            if kept[document] < 0 and heads[bucket, 0] + heads[bucket, 1] < heads[bucket + 1, 0]:
                ranks[heads[bucket, 0] + heads[bucket, 1]] = rank
                heads[bucket, 1] += 1
    return kept, jaccard


@kernel
def _jaccard(sets: Any, one: int, two: int, threshold: float) -> float:
    """Of two documents' sets, or -1 as soon as it cannot reach the threshold."""
    values = sets.values
    i, one_end, j, two_end = sets.bounds[one], sets.bounds[one + 1], sets.bounds[two], sets.bounds[two + 1]
    total, shared = one_end - i + two_end - j, 0
    while i < one_end and j < two_end:
        if values[i] == values[j]:
            i, j, shared = i + 1, j + 1, shared + 1
            continue
        if values[i] < values[j]:
            i += 1
        else:
            j += 1
        possible = shared + min(one_end - i, two_end - j)
        if possible < threshold * (total - possible):
            return -1.0
    return shared / (total - shared)


@kernel
def _passes(number: Any, sieve: Any) -> Any:
    bit = number >> sieve.shift
    return sieve.bits[bit >> np.uint64(3)] >> (bit & np.uint64(7)) & np.uint64(1)


@kernel
def _run(words: Any, begin: int, size: int) -> Any:
    """The number of one of `windows`."""
    number = np.uint64(0)
    for i in range(begin, begin + size):
        number = number * _MULTIPLIER + words[i]
    return mix(number)


@kernel
def _search(number: Any, sorted_numbers: Any) -> int:
    """The place of a number, or -1."""
    first, last = 0, len(sorted_numbers)
    while first < last:
        middle = (first + last) // 2
        if sorted_numbers[middle] < number:
            first = middle + 1
        else:
            last = middle
    return first if first < len(sorted_numbers) and sorted_numbers[first] == number else -1


@kernel
def find_grams(texts: Any, sizes: Any, sieve: Any, grams: Any) -> Any:
    """(found, 4): for each run of words that is in `grams` its document, where it begins and ends there, its place in it.

    The sieve turns nearly all others away by their first words.
    """
    words, places = np.empty(room(texts), np.uint64), np.empty((room(texts), 2), np.int64)
    runs, found, total = np.empty(len(words), np.uint64), np.empty((64, 4), np.int64), 0
    for document in range(len(texts.bounds) - 1):
        count = read_words(texts, document, words, places)
        for i in range(windows(words, count, sieve.words, runs) if count >= sieve.words else 0):
            if not _passes(runs[i], sieve):
                continue
            for size in sizes:
                at = _search(_run(words, i, size), grams) if i + size <= count else -1
                if at >= 0:
                    if total == len(found):
                        grown = np.empty((2 * total, 4), np.int64)
                        grown[:total] = found
                        found = grown
                    found[total, 0], found[total, 1] = document, places[i, 0]
                    found[total, 2], found[total, 3] = places[i + size - 1, 1], at
                    total += 1
    return found[:total]


@kernel
def read_shapes(data: Any, classes: Any, totals: Any, lengths: Any, numbers: Any) -> int:
    """Write the characters of each word to `lengths`, a number of it to `numbers`, and add to `totals`; how many words.

    A word is of the largest class of its characters; class 0 is white space, and a character behind the last of `classes` is
    of the last one's. `totals` (classes, 2) counts the words of a class and their characters.
    """
    at, count, kind, length, number = 0, 0, 0, 0, np.uint64(0)
    code: Any
    of: Any
    while at <= len(data):
        code, size, of = 0, 1, 0  # as if a space followed the text
        if at < len(data):
            code = np.int64(data[at])
            if code >= 0x80:
                code, size = _character(data, at, len(data))
            of = np.int64(classes[min(code, len(classes) - 1)])
        at += size
        if of > 0:
            kind, length, number = max(kind, of), length + 1, (number ^ np.uint64(code + 1)) * _MULTIPLIER
        elif length > 0:
            lengths[count], numbers[count], count = length, mix(number), count + 1
            totals[kind, 0] += 1
            totals[kind, 1] += length
            kind, length, number = 0, 0, np.uint64(0)
    return count


@kernel
def count_known(known: Any, numbers: Any) -> int:
    """How many of the numbers that are known occur."""
    found = 0
    for one in known:
        for number in numbers:
            if number == one:
                found += 1
                break
    return found


@kernel
def _slots(count: int) -> Any:
    """A table for so many numbers: a power of two of places, at most half of them taken, 0 for none."""
    size = 2
    while size < 2 * count:
        size *= 2
    return np.zeros(size, np.int32)


@kernel
def _find(number: Any, numbers: Any, slots: Any) -> Any:
    """The slot of a number: what is there is 0, or 1 more than a place in `numbers` that has the same."""
    slot = np.int64(number & np.uint64(len(slots) - 1))
    while slots[slot] and numbers[slots[slot] - 1] != number:
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@kernel
def most_frequent(words: Any, lengths: Any, size: int) -> int:
    """Characters in all places of the most frequent run of `size` words, joined by spaces; of several, the first."""
    grams = np.empty(len(words), np.uint64)
    count = windows(words, len(words), size, grams) if size <= len(words) else 0
    slots, counts, best = _slots(count), np.zeros(count, np.int32), 0
    for i in range(count):
        slot = _find(grams[i], grams, slots)
        if slots[slot] == 0:
            slots[slot] = i + 1
        counts[slots[slot] - 1] += 1
    for i in range(count):
        if counts[i] > counts[best]:
            best = i
    return counts[best] * (lengths[best : best + size].sum() + size - 1) if count else 0


@kernel
def repeated(words: Any, lengths: Any, size: int) -> int:
    """Characters of words in runs of `size` words that occurred before, none counted twice."""
    grams = np.empty(len(words), np.uint64)
    count = windows(words, len(words), size, grams) if size <= len(words) else 0
    slots, characters, i = _slots(count), 0, 0
    while i < count:
        slot = _find(grams[i], grams, slots)
        if slots[slot]:
            characters += lengths[i : i + size].sum()
            i += size
        else:
            slots[slot] = i + 1
            i += 1
    return characters
