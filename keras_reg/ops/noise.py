"""What the dropout layers do to a tensor. The noise is drawn again for the gradient."""

from typing import Any

from keras import ops

from keras_reg.ops import random
from keras_reg.ops.backend import kept_alone, recomputed

# The SELU's negative saturation value, -alpha * scale (Klambauer et al., 2017).
_SATURATION = -1.6732632423543772 * 1.0507009873554805


def dropout(x: Any, rate: Any, seed: Any, step: Any, noise_shape: tuple | None = None) -> Any:
    """Zeroes elements with probability `rate` and multiplies the others by 1 / (1 - rate).

    Args:
        x: float tensor.
        rate: float32 scalar from 0 to 1. 0 returns `x`, 1 returns zeros, both exactly.
        seed: int32 scalar.
        step: int32 scalar; each one gives an unrelated mask.
        noise_shape: shape of the mask, which broadcasts against `x`. None: that of `x`.
    Shapes: result: as `x`, same dtype.
    Raises: ValueError if the rate is a number out of range, not a tensor.
    Reference: Srivastava et al., JMLR 2014.

    Example:
        >>> seed, step = ops.array(1, "int32"), ops.array(0, "int32")
        >>> y = dropout(ops.ones((4, 4)), ops.array(0.5), seed, step)
        >>> sorted(set(ops.convert_to_numpy(y).ravel().tolist()))
        [0.0, 2.0]
    """
    if isinstance(rate, (int, float)) and not 0 <= rate <= 1:
        raise ValueError(f"Expected 0 <= `rate` <= 1. Received: rate={rate}")
    return _fast_dropout(x, rate, seed, step, noise_shape)


def gaussian(x: Any, rate: Any, seed: Any, step: Any) -> Any:
    """Multiplies by normal noise of mean 1 and variance rate / (1 - rate).

    Args:
        x: float tensor.
        rate: float32 scalar from 0 to 1, where 1 counts as 1 - 2**-24. 0 returns `x` exactly.
        seed: int32 scalar.
        step: int32 scalar.
    Shapes: result: as `x`, same dtype.
    Reference: Srivastava et al., JMLR 2014, section 10.

    Example:
        >>> seed, step = ops.array(1, "int32"), ops.array(0, "int32")
        >>> round(float(ops.std(gaussian(ops.ones((10000,)), ops.array(0.5), seed, step))), 1)
        1.0
    """
    return _fast_gaussian(x, rate, seed, step)


def alpha(x: Any, rate: Any, seed: Any, step: Any, noise_shape: tuple | None = None) -> Any:
    """Sets elements to SELU's saturation value, then restores mean 0 and variance 1.

    Args:
        x: float tensor.
        rate: float32 scalar from 0 to 1. 0 returns `x`, 1 returns zeros, both exactly.
        seed: int32 scalar.
        step: int32 scalar.
        noise_shape: shape of the mask, which broadcasts against `x`. None: that of `x`.
    Shapes: result: as `x`, same dtype.
    Reference: Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017.

    Example:
        >>> seed, step = ops.array(1, "int32"), ops.array(0, "int32")
        >>> float(ops.sum(alpha(ops.ones((4, 4)), ops.array(0.0), seed, step)))
        16.0
    """
    return _fast_alpha(x, rate, seed, step, noise_shape)


def drop_block(
    x: Any, rate: Any, seed: Any, step: Any, block_size: int, channels_first: bool
) -> Any:
    """Zeroes squares of a map, each channel its own, and scales the rest to the same sum of ones.

    Blocks lie within the map and may overlap, so that about `rate` of it is dropped, somewhat less
    at high rates. A block larger than the map is cut to its size.

    Args:
        x: float tensor of four axes, of which height and width are known.
        rate: float32 scalar from 0 to 1. 0 returns `x` exactly.
        seed: int32 scalar.
        step: int32 scalar.
        block_size: int. Height and width of a block.
        channels_first: bool. Whether axis 1 is the channels, or the last axis.
    Shapes: result: as `x`, same dtype.
    Reference: Ghiasi et al., "DropBlock", NeurIPS 2018.

    Example:
        >>> seed, step = ops.array(1, "int32"), ops.array(0, "int32")
        >>> x = ops.ones((1, 8, 8, 2))
        >>> round(float(ops.sum(drop_block(x, ops.array(0.2), seed, step, 3, False))))
        128
    """
    return _fast_drop_block(x, rate, seed, step, block_size, channels_first)


def _dropout(x: Any, rate: Any, seed: Any, step: Any, noise_shape: tuple | None = None) -> Any:
    kept = random.keep(_shape(x, noise_shape), rate, seed, step)
    return kept_alone(_times(x, random.inverse_kept(rate)), kept)


def _gaussian(x: Any, rate: Any, seed: Any, step: Any) -> Any:
    odds = rate / ops.maximum(1.0 - rate, 2.0**-24)
    return _times(x, 1.0 + ops.sqrt(odds) * random.normal(ops.shape(x), seed, step))


def _alpha(x: Any, rate: Any, seed: Any, step: Any, noise_shape: tuple | None = None) -> Any:
    kept = random.keep(_shape(x, noise_shape), rate, seed, step)
    factor, shift = _alpha_line(rate)
    dropped = ops.cast(factor * _SATURATION + shift, x.dtype)
    return ops.where(kept, ops.cast(ops.add(ops.multiply(x, factor), shift), x.dtype), dropped)


def _alpha_gradient(upstream: Any, rate: Any, seed: Any, step: Any, noise_shape: Any = None) -> Any:
    kept = random.keep(_shape(upstream, noise_shape), rate, seed, step)
    return kept_alone(_times(upstream, _alpha_line(rate)[0]), kept)


def _alpha_line(rate: Any) -> tuple[Any, Any]:
    """The affine map that gives mean 0 and variance 1 back; zero if all is dropped."""
    inverse = random.inverse_kept(rate)
    factor = ops.sqrt(inverse / (1.0 + rate * _SATURATION**2))
    return factor, -factor * _SATURATION * rate


def _drop_block(
    x: Any, rate: Any, seed: Any, step: Any, block_size: int = 7, channels_first: bool = False
) -> Any:
    kept = _outside_blocks(ops.shape(x), rate, seed, step, block_size, channels_first)
    count = ops.sum(kept)
    size = ops.sum(ops.ones_like(kept))
    return kept_alone(_times(x, size / ops.maximum(count, 1.0)), kept > 0)


def _outside_blocks(
    shape: tuple, rate: Any, seed: Any, step: Any, block_size: int, channels_first: bool
) -> Any:
    """1.0 outside of all blocks and 0.0 inside, float32."""
    axes = (2, 3) if channels_first else (1, 2)
    blocks = {axis: min(block_size, shape[axis]) for axis in axes}
    places = {axis: shape[axis] - block + 1 for axis, block in blocks.items()}
    share = 1.0
    for axis in axes:
        share *= shape[axis] / (blocks[axis] * places[axis])
    # A seed of a block is where it starts; one that fits starts at one of these places.
    seeds = tuple(places.get(axis, length) for axis, length in enumerate(shape))
    kept = ops.cast(random.keep(seeds, ops.minimum(rate * share, 1.0), seed, step), "float32")
    for axis in axes:
        kept = _spread(kept, axis, blocks[axis])
    return kept


def _spread(kept: Any, axis: int, block: int) -> Any:
    """Every zero becomes a run of `block` zeros along an axis, which is longer by block - 1."""
    padding = [(block - 1, block - 1) if other == axis else (0, 0) for other in range(4)]
    spread, width = ops.pad(kept, padding, constant_values=1.0), 1
    while width < block:
        shift = min(width, block - width)
        here = (slice(None),) * axis
        length = spread.shape[axis] - shift
        spread = ops.minimum(spread[(*here, slice(length))], spread[(*here, slice(shift, None))])
        width += shift
    return spread


def _shape(x: Any, noise_shape: tuple | None) -> tuple:
    return ops.shape(x) if noise_shape is None else noise_shape


def _times(x: Any, factor: Any) -> Any:
    # In float32 whatever the dtype of x: a factor rounded to bfloat16 would shift every mean.
    return ops.cast(ops.multiply(x, factor), x.dtype)


_fast_dropout = recomputed(_dropout, static_argnums=(4,))
_fast_gaussian = recomputed(_gaussian)
_fast_alpha = recomputed(_alpha, _alpha_gradient, static_argnums=(4,))
_fast_drop_block = recomputed(_drop_block, static_argnums=(4, 5))
