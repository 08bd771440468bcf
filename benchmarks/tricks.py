"""What is written for its speed alone: training steps with each such form, and with the plain one.

    KERAS_BACKEND=jax python benchmarks/tricks.py

Two Dense(1024), batch 32, with SGD, whose own step is the cheapest there is, so that what a penalty
costs shows. The ratio is that of the step with the plain form to the step as it is: 1.10 says that
the form saves a tenth. Beside the seconds, the processor's own: other programs change those less.
"""

import argparse
import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from unittest import mock

import keras
import penalties
import timing
from keras import ops

from keras_reg import optimizers, regularizers
from keras_reg.ops import sums
from keras_reg.regularizers import log_sum, lq, radial

STRENGTH = 1e-4
HEADER = ("form", "measured with", "median ms", "plain: time", "plain: processor", "calls")


def plain_root(x, n):
    wide = ops.maximum(x, 2.0**-120)
    return ops.rsqrt(wide) if n == 2 else wide ** (-1.0 / n)


@contextlib.contextmanager
def plain(*patches: tuple) -> Iterator[None]:
    """Puts plain forms in the place of others while models are made and traced."""
    with contextlib.ExitStack() as stack:
        for owner, name, value in patches:
            stack.enter_context(mock.patch.object(owner, name, value))
        yield


UNFOLDED = ((sums, "slices_of_a_sum", lambda: 1),)
ROOTS = ((lq, "inverse_root", plain_root),)


def derived(kind: type) -> tuple:
    return ((kind, "_gradient", regularizers.Penalty._gradient),)


IN_A_LOSS = {
    "folded sums": [
        (UNFOLDED, regularizers.L1(STRENGTH)),
        (UNFOLDED, regularizers.GroupLasso(STRENGTH)),
        (UNFOLDED, regularizers.GroupLasso(STRENGTH, group_axis=-2)),
        (UNFOLDED, regularizers.GroupLInf(STRENGTH)),
    ],
    "products of logarithms": [
        (((log_sum.LogSum, "_omega", radial.RadialPenalty._omega),), regularizers.LogSum(STRENGTH))
    ],
    "roots from bits": [
        (ROOTS, regularizers.Lq(STRENGTH)),
        (ROOTS, regularizers.Lq(STRENGTH, q=2 / 3)),
    ],
    "gradients that penalties write": [
        (derived(radial.RadialPenalty), regularizers.L1(STRENGTH)),
        (derived(radial.RadialPenalty), regularizers.GroupLasso(STRENGTH)),
        (derived(regularizers.GroupLInf), regularizers.GroupLInf(STRENGTH)),
        (derived(regularizers.TotalVariation), regularizers.TotalVariation(STRENGTH)),
        (derived(regularizers.SparseGroupLasso), regularizers.SparseGroupLasso(STRENGTH)),
        (derived(regularizers.ExclusiveLasso), regularizers.ExclusiveLasso(STRENGTH)),
        (derived(regularizers.HoyerSquare), regularizers.HoyerSquare(STRENGTH)),
    ],
}
IN_PROXIMAL = {
    "folded sums": [(UNFOLDED, regularizers.GroupLasso(STRENGTH))],
    "roots from bits": [(ROOTS, regularizers.Lq(STRENGTH, q=2 / 3))],
}


def in_a_loss(one, size: dict) -> Callable:
    return penalties.training_step(fresh(one), "SGD", **size)


def in_proximal(one, size: dict) -> Callable:
    wrapped = optimizers.Proximal(keras.optimizers.SGD(), fresh(one))
    return penalties.training_step(None, wrapped, **size)


def fresh(one):
    """An equal penalty, for which nothing is compiled yet."""
    return type(one).from_config(one.get_config())


def shown(one) -> str:
    """The call that makes a penalty, without the defaults and the strength."""
    usual = type(one)().get_config()
    given = {name: value for name, value in one.get_config().items() if value != usual[name]}
    arguments = [f"{name}={value!r:.4}" for name, value in given.items() if name != "strength"]
    return f"{type(one).__name__}({', '.join(arguments)})"


def pairs() -> Iterator[tuple[str, str, Callable, tuple]]:
    """The form, what it is measured with, what makes a step, and what makes it plain."""
    for place, forms, make in (
        ("in a loss", IN_A_LOSS, in_a_loss),
        ("in Proximal", IN_PROXIMAL, in_proximal),
    ):
        for form, cases in forms.items():
            for patches, one in cases:
                yield form, f"{shown(one)} {place}", functools.partial(make, one), patches


def forget() -> None:
    """What was compiled with another form is compiled anew."""
    keras.backend.clear_session()
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()


def measured(make: Callable, patches: tuple, size: dict, rounds: int) -> list[str]:
    steps = {}
    for name, patched in (("as it is", ()), ("plain", patches)):
        forget()
        with plain(*patched):
            steps[name] = make(size)
            steps[name]()
    wall: dict[str, list[float]] = {name: [] for name in steps}
    processor: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 2):
        for name in sorted(steps, reverse=turn % 2 == 1):
            start, before = time.perf_counter(), time.process_time()
            steps[name]()
            if turn > 1:
                processor[name].append(time.process_time() - before)
                wall[name].append(time.perf_counter() - start)
    return [
        f"{1e3 * timing.median(wall['as it is']):.2f}",
        *(f"{timing.ratio(times, 'plain', 'as it is'):.2f}" for times in (wall, processor)),
        str(rounds),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    size = {"width": options.width, "depth": options.depth, "batch": options.batch}
    rows = []
    for form, case, make, patches in pairs():
        rows.append((form, case, *measured(make, patches, size, options.rounds)))
        print(*rows[-1], sep=" | ", flush=True)
    backend = keras.backend.backend()
    timing.report(f"tricks {backend}", __doc__.splitlines()[0], rows, HEADER)


if __name__ == "__main__":
    main()
