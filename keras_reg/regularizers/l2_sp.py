"""L2SP: weights that stay near where they started."""

import math
from typing import Any

import keras
import numpy as np

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.sums import full_sum
from keras_reg.regularizers.penalty import Penalty


@keras.saving.register_keras_serializable("keras_reg")
class L2SP(Penalty):
    """Sum of squared distances from a reference, such as pretrained weights.

    value:  strength * sum((w - reference)**2)
    prox:   (w + 2 * step * strength * reference) / (1 + 2 * step * strength)

    For fine-tuning on little data: what the new task does not need to change stays as it was.
    The same in a layer's `kernel_regularizer` and, undistorted by adaptive steps, in `Proximal`.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        reference: array, nested list or number, or None for 0, where this is `L2`. It is kept, and
            saved in the config, as nested lists of floats.
    Shapes: w: any rank, that of `reference` unless it is a number. value: (), float32. prox: as w,
        same dtype. `stationarity`: as w.
    Raises: ValueError if strength is negative or not finite, or reference holds anything but finite
        numbers; at the first use if the reference's shape is not the variable's.
        NotImplementedError in `max_strength` with a reference that is not 0: zero is not where the
        penalty pulls.
    Reference: Li, Grandvalet & Davoine, ICML 2018.

    Example:
        >>> penalty = L2SP(0.5, reference=[1.0, 1.0])
        >>> float(penalty(keras.ops.array([1.0, 3.0])))
        2.0
        >>> keras.ops.convert_to_numpy(penalty.prox([1.0, 3.0], step=1.0)).tolist()
        [1.0, 2.0]
    """

    is_in_numpy = True

    def __init__(self, strength: schedules.Value = 0.01, reference: Any = None):
        super().__init__(strength)
        self._reference = _check_reference(reference)

    @property
    def reference(self) -> Any:
        """Nested lists of floats, a float, or None."""
        return None if self._reference is None else self._reference.tolist()

    def _max_strength(self, gradient: Any) -> float:
        if self._reference is not None and np.any(self._reference != 0.0):
            raise NotImplementedError(
                "L2SP has no max_strength with a reference that is not zero: the penalty pulls "
                "there, and no strength makes zero the solution."
            )
        return math.inf if float(ops.max(ops.abs(gradient))) > 0.0 else 0.0

    def _stationarity(self, w: Any, gradient: Any, strength: float) -> Any:
        return ops.abs(gradient + 2.0 * strength * (w - self._reference_like(w)))

    def check_shape(self, shape: tuple[int, ...], path: str = "") -> None:
        if self._reference is None or self._reference.shape in ((), tuple(shape)):
            return
        raise ValueError(
            f"Expected `reference` to have the shape of {path or 'the weight'}, {tuple(shape)}. "
            f"Received: a reference of shape {self._reference.shape}"
        )

    def get_config(self) -> dict:
        return {**super().get_config(), "reference": self.reference}

    def __repr__(self) -> str:
        shown = repr(self.reference)
        if self._reference is not None and self._reference.ndim > 0:
            shown = f"<shape {self._reference.shape}>"
        return f"L2SP(strength={schedules.shown(self.strength)}, reference={shown})"

    def _omega(self, w: Any) -> Any:
        return full_sum(ops.square(w - self._reference_like(w)))

    def _gradient(self, w: Any) -> Any:
        return 2.0 * (w - self._reference_like(w))

    def _omega_prox(self, w: Any, scale: Any) -> Any:
        return (w + 2.0 * scale * self._reference_like(w)) / (1.0 + 2.0 * scale)

    def _reference_like(self, w: Any) -> Any:
        if self._reference is None:
            return 0.0
        return ops.as_given(self._reference, like=w)


def _check_reference(reference: Any) -> np.ndarray | None:
    if reference is None:
        return None
    is_tensor = keras.ops.is_tensor(reference) or isinstance(reference, keras.Variable)
    try:
        plain = ops.convert_to_numpy(reference) if is_tensor else reference
        array = np.array(plain, "float64")
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if not np.all(np.isfinite(array)):
        raise ValueError(
            "Expected `reference` to be an array or nested list of finite numbers, or None. "
            f"Received: reference={reference!r}"
        )
    return array
