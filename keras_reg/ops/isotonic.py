"""Isotonic and nearly isotonic regression, and total variation: exact piecewise constant fits."""

from typing import Any

from keras_reg.ops import arrays as ops
from keras_reg.ops.backend import compiled
from keras_reg.ops.scan import scan_rows


def isotonic_fit(y: Any, up: Any, down: Any, jumps: Any = None) -> Any:
    """Fits each row by a line whose steps up and down cost something.

    Solves argmin_x sum_i 0.5 * (x_i - y_i)**2 + up * max(0, x_{i+1} - x_i)
    + down * max(0, x_i - x_{i+1}). With `up = down` this is the proximal operator of total
    variation, with `up = inf` and `down = 0` isotonic (decreasing) regression.

    A piece of the line is first taken to be flat, at the mean of its data. Where a minimum cut at
    that level puts some of its elements above and the others below, the piece is broken there and
    its neighbours pull at it with their costs; until no piece breaks. Where neighbours lie too far
    apart for any cost to level them, the first pieces end there. The cut is two scans of
    O(n) work and O(log n) depth. There are about as many rounds as halvings of the pieces, some
    log2(n); at worst, on data that grow geometrically, as many as there are pieces.

    Args:
        y: float tensor.
        up: float or scalar tensor >= 0, or inf. Cost of a step up.
        down: float or scalar tensor >= 0. Cost of a step down.
        jumps: tensor of -1, 0 and 1, or None. Steps that are known to be there: their directions.
    Shapes: y: (rows, n). jumps: (rows, n - 1). result: as `y`, same dtype.
    Reference: Hochbaum, "An efficient algorithm for image segmentation, Markov random fields and
        related problems", JACM 2001; Tibshirani, Hoefling & Tibshirani, Technometrics 2011.

    Example:
        >>> import keras
        >>> y = keras.ops.array([[3.0, 1.0, 2.0, 0.0]])
        >>> keras.ops.convert_to_numpy(isotonic_fit(y, float("inf"), 0.0)).tolist()
        [[3.0, 1.5, 1.5, 0.0]]
    """
    if y.shape[1] == 1:
        return y
    up, down = ops.cast(up, y.dtype), ops.cast(down, y.dtype)
    if jumps is None:
        jumps = _certain_jumps(y, up, down)
    return _fit(y, ops.cast(jumps, y.dtype), up, down)


def _certain_jumps(y: Any, up: Any, down: Any) -> Any:
    """The directions of the steps that are too high for their costs to level."""
    # Its neighbours together move an element by no more than up + down.
    reach = 2.0 * (up + down)
    rise = y[:, 1:] - y[:, :-1]
    return ops.cast(rise > reach, y.dtype) - ops.cast(rise < -reach, y.dtype)


def _break_until_flat(y: Any, jumps: Any, up: Any, down: Any) -> Any:
    def broken(jumps, level, again):
        level, more = _break_pieces(y, jumps, up, down)
        return jumps + more, level, ops.any(ops.not_equal(more, 0))

    start = (jumps, y, ops.convert_to_tensor(True))
    return ops.while_loop(lambda jumps, level, again: again, broken, start)[1]


# Compiled here too: an eager call would trace its loops anew each time.
_fit = compiled(_break_until_flat)


def _break_pieces(y: Any, jumps: Any, up: Any, down: Any) -> tuple[Any, Any]:
    """The mean of each piece with the pull of its neighbours, and the new steps inside pieces."""
    pull = ops.where(jumps > 0, up, 0.0) - ops.where(jumps < 0, down, 0.0)
    data = y + ops.pad(pull, [[0, 0], [0, 1]]) - ops.pad(pull, [[0, 0], [1, 0]])
    is_jump = ops.not_equal(jumps, 0)
    first = ops.pad(is_jump, [[0, 0], [1, 0]], constant_values=True)
    last = ops.pad(is_jump, [[0, 0], [0, 1]], constant_values=True)
    level = _piece_means(data, first, last)
    above = _minimum_cut(data - level, first, last, up, down)
    return level, ops.where(is_jump, 0.0, above[:, 1:] - above[:, :-1])


def _piece_means(data: Any, first: Any, last: Any) -> Any:
    def add(left, right):
        (total, count, _), (other, more, starts) = left, right
        kept = (ops.where(starts, 0.0, total), ops.where(starts, 0.0, count))
        return other + kept[0], more + kept[1], ops.logical_or(left[2], starts)

    ones = ops.ones_like(data)
    total, count, _ = scan_rows(add, (data, ones, first), lambda _total, _count, starts: starts)
    return _fill_backwards(total / count, last)


def _minimum_cut(gain: Any, first: Any, last: Any, up: Any, down: Any) -> Any:
    """1 for the elements above the cut of least cost, 0 for those below, within each piece.

    What the elements up to i add to the gain of i + 1 is clip(what came before + gain_i, -up,
    down): the composition of such functions is another one, so that a scan finds them all.
    """

    def compose(inner, outer):
        (shift, low, high), (by, least, most) = inner, outer
        low = ops.clip(low + by, least, most)
        return shift + by, low, ops.clip(high + by, least, most)

    low, high = ops.broadcast_to(-up, gain.shape), ops.broadcast_to(down, gain.shape)
    alone = ops.clip(gain, low, high)
    low, high = ops.where(first, alone, low), ops.where(first, alone, high)
    shift = ops.where(first, 0.0, gain)
    passed = scan_rows(compose, (shift, low, high), lambda _, low, high: low >= high)[1]
    before = ops.pad(passed[:, :-1], [[0, 0], [1, 0]])
    gain = gain + ops.where(first, 0.0, before)
    is_above = gain > ops.where(last, 0.0, down)
    is_decided = ops.logical_or(last, ops.logical_or(is_above, gain < -up))
    return _fill_backwards(ops.cast(is_above, gain.dtype), is_decided)


def _fill_backwards(x: Any, known: Any) -> Any:
    """Each element's value, where it is known, else that of the next element where it is."""

    def latest(left, right):
        return ops.where(right[1], right[0], left[0]), ops.logical_or(left[1], right[1])

    return scan_rows(latest, (x, known), lambda _, known: known, backwards=True)[0]
