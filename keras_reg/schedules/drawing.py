"""A picture of schedules."""

from typing import Any

import numpy as np
from keras import ops

from keras_reg.figures import empty_figure
from keras_reg.schedules.value import Value, check_count, check_value, evaluate


def plot(*schedules: Value, steps: int | None = None, labels: Any = None) -> Any:
    """Draws schedules over the training steps.

    Needs matplotlib: `pip install keras-reg[plot]`.

    Args:
        *schedules: numbers, schedules or functions of the step.
        steps: int >= 1. Where the picture ends. None: a quarter after the last of them ends.
        labels: a str for each. None: the class and what it was made with.
    Returns: a `matplotlib.figure.Figure`, which a notebook shows and `savefig` saves.
    Raises: ValueError if there is no schedule, or not a label for each.

    Example:
        >>> from keras_reg.schedules import Linear
        >>> figure = plot(Linear(0.0, 0.5, steps=100), 0.3, labels=["rising", "constant"])
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['rising', 'constant']
    """
    values = [check_value(schedule, "schedules") for schedule in schedules]
    names = [_label(value) for value in values] if labels is None else list(labels)
    if not values or len(names) != len(values):
        raise ValueError(
            "Expected at least one schedule, and a label for each. "
            f"Received: schedules={schedules!r}, labels={labels!r}"
        )
    last = _last(values) if steps is None else check_count(steps, "steps", at_least=1)
    grid = np.unique(np.linspace(0, last, 400).round().astype("int32"))
    figure = empty_figure(6, 3 + 0.22 * len(values))
    axes = figure.add_subplot()
    for value, name in zip(values, names, strict=True):
        drawn = [float(ops.convert_to_numpy(evaluate(value, int(step)))) for step in grid]
        axes.plot(grid, drawn, label=name)
    axes.set(xlabel="training step", xlim=(0, last))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower left")
    return figure


def _last(values: list[Value]) -> int:
    ends = [getattr(value, "delay", 0) + getattr(value, "steps", 0) for value in values]
    inner = [getattr(value, "schedule", value) for value in values]
    ends += [getattr(value, "delay", 0) + getattr(value, "steps", 0) for value in inner]
    return max(*ends, 0) * 5 // 4 or 1000


def _label(value: Value) -> str:
    config = value.get_config() if hasattr(value, "get_config") else None
    if config is None:
        return f"{value}"
    shown = (f"{key}={entry}" for key, entry in config.items() if isinstance(entry, (int, float)))
    return f"{type(value).__name__}({', '.join(shown)})"
