"""What a penalty in a layer costs: whole training steps, as multiples of the step without it.

    KERAS_BACKEND=jax python benchmarks/penalties.py

Four Dense(1024), batch 128, with Adam and with SGD, whose own step is the cheapest there is. Two
cases do half of a penalty's work, the cheapest there is: a value without a gradient, and a gradient
without a value. Run it on a quiet machine: the ratios of a loaded one mean little.
"""

import argparse
import gc
import inspect
import re
from collections.abc import Callable

import keras
import numpy as np
import timing
from keras import ops

from keras_reg import regularizers
from keras_reg.ops import compiled
from keras_reg.ops.backend import read
from keras_reg.ops.sums import full_sum

STRENGTH = 1e-4
# Arguments beside the defaults, which every class is measured with.
VARIANTS = {
    "Orthogonal": [
        {"exact": True},
        *(
            {"kind": kind, "exact": exact}
            for kind in ("mutual_coherence", "srip")
            for exact in (False, True)
        ),
    ],
    "SpectralNorm": [{"exact": True}],
}
KERAS = {
    "keras L1": lambda: keras.regularizers.L1(STRENGTH),
    "keras L2": lambda: keras.regularizers.L2(STRENGTH),
    "keras OrthogonalRegularizer": lambda: keras.regularizers.OrthogonalRegularizer(STRENGTH),
}


@compiled
def _sum_of_sizes(w):
    return STRENGTH * full_sum(ops.abs(w))


def value_alone(variable):
    return ops.stop_gradient(_sum_of_sizes(read(variable)))


@ops.custom_gradient
def _with_gradient(w):
    return ops.zeros(()), lambda *arguments, upstream=None: STRENGTH * w


def gradient_alone(variable):
    return _with_gradient(read(variable))


FLOORS = {"a value alone": lambda: value_alone, "a gradient alone": lambda: gradient_alone}
# Without the forms that sort or decompose a matrix of a million weights in every step: seconds.
AFFORDABLE = r"^(?!.*(Nuclear|SLOPE|SpectralNorm\(exact|srip.*exact=True))"


def penalty_classes(base: type = regularizers.Penalty) -> list[type]:
    children = base.__subclasses__()
    found = {cls for child in children for cls in [child, *penalty_classes(child)]}
    # What wraps a penalty has the cost of that one and of a ranking.
    found.discard(regularizers.Trimmed)
    concrete = (cls for cls in found if not inspect.isabstract(cls))
    return sorted(concrete, key=lambda cls: cls.__name__)


def cases() -> dict[str, Callable]:
    """A name and a function that makes the regularizer, for each that a layer takes."""
    found: dict[str, Callable] = {"bare": lambda: None, **FLOORS, **KERAS}
    for cls in filter(lambda cls: cls.differentiable, penalty_classes()):
        for kwargs in [{}, *VARIANTS.get(cls.__name__, [])]:
            text = ", ".join(f"{name}={value!r}" for name, value in kwargs.items())
            found[f"{cls.__name__}({text})"] = lambda cls=cls, kwargs=kwargs: cls(
                STRENGTH, **kwargs
            )
    return found


def training_step(regularizer, optimizer: str, width: int, depth: int, batch: int) -> Callable:
    """A function that takes one compiled training step and waits for its loss."""
    layers = [
        keras.layers.Dense(width, activation="relu", kernel_regularizer=regularizer)
        for _ in range(depth)
    ]
    model = keras.Sequential([keras.Input((width,)), *layers])
    model.compile(keras.optimizers.get(optimizer), "mse")
    random = np.random.default_rng(0)
    x, y = (random.standard_normal((batch, width)).astype("float32") for _ in range(2))
    x, y = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)
    return lambda: float(model.train_on_batch(x, y))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="of each build")
    parser.add_argument("--builds", type=int, default=4, help="of every model")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--only", default=AFFORDABLE, help="regular expression over the names")
    options = parser.parse_args()
    makers = {
        name: make
        for name, make in cases().items()
        if name == "bare" or re.search(options.only, name)
    }
    for optimizer in ("Adam", "SGD"):
        seconds: dict[str, list[float]] = {name: [] for name in makers}
        # Where in memory a model lies changes its speed by a few percent.
        for _ in range(options.builds):
            keras.backend.clear_session()
            steps = {
                name: training_step(make(), optimizer, options.width, options.depth, options.batch)
                for name, make in makers.items()
            }
            for name, step in steps.items():
                assert np.isfinite(step()), f"the loss with {name} is not finite"
            for name, times in timing.interleave(steps, options.rounds).items():
                seconds[name] += times
            steps.clear()
            gc.collect()  # Models are cycles of references, and large.
        backend = keras.backend.backend()
        title = f"{options.depth} x Dense({options.width}), batch {options.batch}, {optimizer}"
        table = timing.rows(seconds, "bare")
        timing.report(f"penalties {backend} {optimizer}", title, table)


if __name__ == "__main__":
    main()
