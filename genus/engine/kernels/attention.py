"""Attention over pages. Keys and values lie in panels, as matrices do: it is two products, with a softmax between.

A sum over places runs in their order, and what is masked weighs exactly nothing; so the bits of a row's result depend
neither on where its text was cut into pieces, nor on what it is read beside.
"""

import numpy as np

from genus.engine.kernels import simd
from genus.engine.kernels.product import PAIR, SIX, compiled, product, wide_product
from genus.engine.kernels.simd import exp, get, load, put, store, word

__all__ = ["attend", "scratch_bytes"]


def scratch_bytes(head_dim: int, places: int) -> int:
    """What a thread of `attend` needs beside: zeros, six queries, six results, six rows of scores."""
    return 4 * (2 * PAIR + SIX * head_dim + SIX * -(-head_dim // PAIR) * PAIR + SIX * places)


@compiled
def attend(op, step, rows):
    """Keep the keys and values of a step's rows, then let each see those before it. See program.Attend and program.Step."""
    group = step + 8 * (16 + 4 * word(op, 12))
    for row in range(rows * simd.thread() // simd.threads(), rows * (simd.thread() + 1) // simd.threads()):
        _keep(op, step, row, word(word(group, 0), row))
    simd.barrier()
    kv_heads = word(step, 4)
    for unit in range(simd.thread(), word(group, 2) * kv_heads, simd.threads()):
        _attend(op, step, word(group, 1) + unit // kv_heads * 56, word(group, 3), unit % kv_heads)


@compiled
def _padded(head_dim):
    return (head_dim + PAIR - 1) // PAIR * PAIR


@compiled
def _keep(op, step, row, slot):
    kv_heads, head_dim, page = word(step, 4), word(step, 5), word(step, 6)
    place = slot % page
    for head in range(kv_heads):
        source = row * word(op, 5) + 4 * head_dim * head
        at = 4 * page * (slot // page * kv_heads + head)
        key = word(op, 9) + at * head_dim + 64 * head_dim * (place // 16) + 4 * (place % 16)
        value = word(op, 10) + at * _padded(head_dim) + 64 * place
        for d in range(head_dim):
            put(key + 64 * d, get(word(op, 4) + source + 4 * d))
            put(value + 64 * page * (d // 16) + 4 * (d % 16), get(word(op, 6) + source + 4 * d))


@compiled
def _attend(op, step, task, window, kv_head):
    """A task for the query heads of one key head, up to six of its rows (place by place, head by head) at a time."""
    head_dim, page, position = word(step, 5), word(step, 6), word(task, 2)
    each = word(step, 3) // word(step, 4)
    rows = word(task, 1) * each
    zeros = word(step, 0) + word(step, 1) * simd.thread()
    queries = zeros + 8 * PAIR
    out = queries + 4 * SIX * head_dim
    scores = out + 4 * SIX * _padded(head_dim)
    for first in range(0, rows, SIX):
        count = min(SIX, rows - first)
        end = position + (first + count - 1) // each + 1
        begin = 0 if window == 0 else max(0, position + first // each + 1 - window) // page * page
        for i in range(count):
            row, head = word(task, 0) + (first + i) // each, kv_head * each + (first + i) % each
            source = word(op, 2) + row * word(op, 3) + 4 * head_dim * head
            for d in range(head_dim):
                put(queries + 4 * (i * head_dim + d), get(source + 4 * d) * get(word(step, 7)))
        _score(op, step, (task, kv_head), (begin, end, count), (zeros, queries, scores))
        stop = (end + PAIR - 1) // PAIR * PAIR
        for i in range(count):
            index, head = (first + i) // each, kv_head * each + (first + i) % each
            bias = word(task, 4)
            if bias:
                bias += 4 * (word(task, 5) * head + word(task, 6) * index)
            low = begin if window == 0 else max(begin, position + index + 1 - window)
            sink = word(op, 11) + 4 * head if word(op, 11) else 0
            _softmax(scores + 4 * i * word(step, 2), bias, (begin, stop), (low, position + index + 1), sink)
        _mix(op, step, (task, kv_head), (begin, end, count), (zeros, scores, out))
        for i in range(count):
            row, head = word(task, 0) + (first + i) // each, kv_head * each + (first + i) % each
            target = word(op, 7) + row * word(op, 8) + 4 * head_dim * head
            for d in range(head_dim):
                put(target + 4 * d, get(out + 4 * (i * _padded(head_dim) + d)))


@compiled
def _block(step, task, kv_head, place):
    """Which of all blocks of keys, or of values, has a place: one for each page and head."""
    return word(word(task, 3), place // word(step, 6)) * word(step, 4) + kv_head


@compiled
def _keys(op, step, whose, place):
    """The address of the pair of panels with the keys of a place."""
    head_dim, page = word(step, 5), word(step, 6)
    return word(op, 9) + 4 * page * head_dim * _block(step, *whose, place) + 64 * head_dim * (place % page // 16)


@compiled
def _score(op, step, whose, span, at):
    """scores = queries keys^T for the places of a span."""
    (begin, end, count), (zeros, queries, scores) = span, at
    head_dim, places = word(step, 5), word(step, 2)
    place = begin
    while place < end:
        panel = _keys(op, step, whose, place)
        if count == 1 and place + PAIR < end:
            other = _keys(op, step, whose, place + PAIR)
            four = panel, panel + 64 * head_dim, other, other + 64 * head_dim
            wide_product(queries, four, head_dim, zeros, scores + 4 * place)
            place += 2 * PAIR
        else:
            y = scores + 4 * place, 4 * places
            product((queries, 4 * head_dim), (panel, 64 * head_dim), head_dim, (zeros, 0), y, count)
            place += PAIR


@compiled
def _mix(op, step, whose, span, at):
    """out = weights values, page by page."""
    (begin, end, count), (zeros, scores, out) = span, at
    page, places, padded = word(step, 6), word(step, 2), _padded(word(step, 5))
    start, start_step = zeros, 0
    for place in range(begin, end, page):
        values = word(op, 10) + 4 * page * padded * _block(step, *whose, place)
        d, seen = 0, min(page, end - place)
        while d < padded:
            panel, here = values + 4 * page * d, start + 4 * d if start_step else start
            if count == 1 and d + PAIR < padded:
                four = panel, panel + 64 * page, panel + 128 * page, panel + 192 * page
                wide_product(scores + 4 * place, four, seen, here, out + 4 * d)
                d += 2 * PAIR
            else:
                x, y = (scores + 4 * place, 4 * places), (out + 4 * d, 4 * padded)
                product(x, (panel, 64 * page), seen, (here, start_step), y, count)
                d += PAIR
        start, start_step = out, 4 * padded


@compiled
def _softmax(scores, bias, places, seen, sink):
    """Scores become weights, from a first place to before a last; those outside of what is seen weigh nothing."""
    (begin, stop), (low, high) = places, seen
    for place in range(begin, low):
        put(scores + 4 * place, np.float32(-np.inf))
    for place in range(high, stop):
        put(scores + 4 * place, np.float32(-np.inf))
    greatest = simd.spread(np.float32(-np.inf))
    for place in range(begin, stop, 8):
        score = load(scores + 4 * place)
        if bias:
            score = simd.add(score, load(bias + 4 * place))
            store(scores + 4 * place, score)
        greatest = simd.maximum(score, greatest)
    top = simd.lane(greatest, 0)
    for i in range(1, 8):
        top = max(top, simd.lane(greatest, i))
    if sink:
        top = max(top, get(sink))
    less, sums = simd.spread(-top), simd.zero()
    for place in range(begin, stop, 8):
        weight = exp(simd.add(load(scores + 4 * place), less))
        sums = simd.add(sums, weight)
        store(scores + 4 * place, weight)
    total = simd.total(sums)
    if sink:
        total += simd.lane(exp(simd.spread(get(sink) - top)), 0)
    share = simd.spread(np.float32(1) / total)
    for place in range(begin, stop, 8):
        store(scores + 4 * place, simd.mul(load(scores + 4 * place), share))
