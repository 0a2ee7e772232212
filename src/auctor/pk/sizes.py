"""A few fixed sizes for padded arrays, so that compiled code serves every patient."""

from __future__ import annotations


def bucket(count: int, smallest: int = 4, *, factor: int = 2) -> int:
    """The padded size for `count` items: a few fixed shapes (`smallest` times powers of `factor`), so that nothing recompiles per patient.

    >>> bucket(3), bucket(9), bucket(33, 16, factor=4)
    (4, 16, 64)
    """
    size = smallest
    while size < count:
        size *= factor
    return size


def close_bucket(count: int) -> int:
    """A padded size less than a quarter as large again: 4, 5, 6, 7, 8, 10, 12, 14, 16, .. for batches that pay for every padded event.

    >>> [close_bucket(n) for n in (3, 5, 9, 39)]
    [4, 5, 10, 40]
    """
    step = max(bucket(count) // 8, 1)
    return max(4, -(-count // step) * step)
