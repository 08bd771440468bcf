"""Thresholds that solve a piecewise linear equation over the weights of each group."""

from typing import Any

from keras_reg.ops import arrays as ops
from keras_reg.ops.backend import compiled_alone
from keras_reg.ops.sums import reduced


def ball_threshold(x: Any, radius: Any, axes: tuple[int, ...]) -> Any:
    """The threshold whose soft thresholding projects each group on the L1 ball of a radius.

    It solves sum_i max(0, x_i - threshold) = radius, and is negative for a group inside the ball.

    Args:
        x: float tensor: the absolute values of the weights.
        radius: float or scalar tensor >= 0.
        axes: axes from 0 to the rank, which run over the elements of a group.
    Shapes: result: as `x`, with `axes` of length one.
    Reference: Condat, "Fast projection onto the simplex and the l1 ball", Math. Program. 2016.

    Example:
        >>> import keras
        >>> float(ball_threshold(keras.ops.array([3.0, 2.0]), 2.0, (0,))[0])
        1.5
    """
    # The largest element alone accounts for the radius here, so this is not above the root.
    start = _largest(x, axes) - radius
    return _root(x, axes, start, 1.0, 0.0, radius)


def squared_sum_threshold(x: Any, scale: Any, axes: tuple[int, ...]) -> Any:
    """The threshold at which soft thresholding is the proximal operator of scale * ||group||_1**2.

    It solves 2 * scale * sum_i max(0, x_i - threshold) = threshold.

    Args:
        x: float tensor: the absolute values of the weights.
        scale: float or scalar tensor >= 0.
        axes: axes from 0 to the rank, which run over the elements of a group.
    Shapes: result: as `x`, with `axes` of length one.
    Reference: Kowalski, Applied and Computational Harmonic Analysis 2009.

    Example:
        >>> import keras
        >>> float(squared_sum_threshold(keras.ops.array([3.0, 0.5]), 0.5, (0,))[0])
        1.5
    """
    start = 2.0 * scale / (1.0 + 2.0 * scale) * _largest(x, axes)
    return _root(x, axes, start, 2.0 * scale, 1.0, 0.0)


def _largest(x: Any, axes: tuple[int, ...]) -> Any:
    return reduced(x, axes, True, ops.max, ops.maximum)


def _by_newton(
    x: Any, axes: tuple[int, ...], start: Any, factor: Any, slope: float, offset: Any
) -> Any:
    """t with factor * sum_i max(0, x_i - t) = slope * t + offset, by Newton's method.

    The left side is convex and piecewise linear. From below the root every step stays below it, and
    is exact once the elements above `t` are those above the root: they only become fewer, so that
    their number stops changing after a few steps, and the last step has then found the root.
    """
    if not axes:
        axes, x, start = (len(x.shape),), ops.expand_dims(x, -1), ops.expand_dims(start, -1)
        return _by_newton(x, axes, start, factor, slope, offset)[..., 0]

    def step(t: Any, count: Any, again: Any) -> tuple[Any, Any, Any]:
        excess = reduced(ops.relu(x - t), axes, keepdims=True)
        above = reduced(ops.cast(ops.greater(x, t), x.dtype), axes, keepdims=True)
        fall = slope + factor * above
        move = (factor * excess - slope * t - offset) / ops.where(ops.equal(fall, 0.0), 1.0, fall)
        # Rounding may make the last step negative; the count must not rise again.
        higher = ops.where(ops.less(move, 0.0), t, t + move)
        return higher, above, ops.any(ops.not_equal(above, count))

    state = (start, ops.zeros_like(start) - 1.0, ops.convert_to_tensor(True))
    return ops.while_loop(lambda t, count, again: again, step, state)[0]


_root = compiled_alone(_by_newton, static_argnums=(1,))
