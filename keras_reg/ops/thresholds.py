"""Thresholds that solve a scalar equation over the sorted weights of each group."""

from typing import Any

from keras import ops


def ball_threshold(magnitudes: Any, radius: Any) -> Any:
    """The threshold whose soft thresholding projects each row on the L1 ball of a radius.

    It solves sum_i max(0, m_i - threshold) = radius, as the largest of (m_(1) + ... + m_(j) -
    radius) / j over the sorted row, and is negative for a row inside the ball.

    Args:
        magnitudes: float tensor.
        radius: float or scalar tensor >= 0.
    Shapes: magnitudes: (rows, n). result: (rows, 1).
    Reference: Duchi et al., ICML 2008.

    Example:
        >>> import keras
        >>> float(ball_threshold(keras.ops.array([[3.0, 2.0]]), 2.0)[0, 0])
        1.5
    """
    totals, counts = _running_totals(magnitudes)
    return ops.max((totals - radius) / counts, axis=1, keepdims=True)


def squared_sum_threshold(magnitudes: Any, scale: Any) -> Any:
    """The threshold at which soft thresholding is the proximal operator of scale * ||row||_1**2.

    It solves threshold = 2 * scale * sum_i max(0, m_i - threshold), as the largest of
    2 * scale * (m_(1) + ... + m_(j)) / (1 + 2 * scale * j) over the sorted row.

    Args:
        magnitudes: float tensor >= 0.
        scale: float or scalar tensor >= 0.
    Shapes: magnitudes: (rows, n). result: (rows, 1).
    Reference: Kowalski, Applied and Computational Harmonic Analysis 2009.

    Example:
        >>> import keras
        >>> float(squared_sum_threshold(keras.ops.array([[3.0, 0.5]]), 0.5)[0, 0])
        1.5
    """
    totals, counts = _running_totals(magnitudes)
    return ops.max(2.0 * scale * totals / (1.0 + 2.0 * scale * counts), axis=1, keepdims=True)


def _running_totals(magnitudes: Any) -> tuple[Any, Any]:
    totals = ops.cumsum(-ops.sort(-magnitudes, axis=1), axis=1)
    counts = ops.arange(1, magnitudes.shape[1] + 1, dtype="int32")
    return totals, ops.cast(counts, magnitudes.dtype)
