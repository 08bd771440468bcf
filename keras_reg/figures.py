"""Figures that a notebook shows by themselves."""

import io
from typing import Any


def empty_figure(width: float, height: float) -> Any:
    """A matplotlib Figure that no window holds and nothing has to close.

    A notebook draws it once, also where pyplot was never imported.

    Args:
        width: inches.
        height: inches.
    Raises: ImportError if matplotlib is missing.

    Example:
        >>> empty_figure(3, 2)._repr_png_()[1:4]
        b'PNG'
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "keras_reg draws with matplotlib: `pip install 'keras-reg[plot]'`"
        ) from error

    class Picture(Figure):
        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    return Picture(figsize=(width, height), layout="constrained", dpi=120)
