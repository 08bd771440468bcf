"""What half of the channels is worth in time: models before and after `compact`.

    KERAS_BACKEND=jax python benchmarks/compact.py [--pixels 224] [--rounds 20] [MODEL ...]

Half of the channels of every group are zero. For each model and batch: how much faster the smaller
model predicts, with its numbers of channels as they are and rounded up to multiples of 8, over what
the multiply-adds promise. The cases take turns. On PyTorch Torch-Pruning does the same to ResNet50
written in PyTorch, in the same run.
"""

import argparse
import functools
import time

import keras
import numpy as np
import timing

import keras_reg as kr
from keras_reg.structure.channels import channels

MODELS = ("VGG16", "ResNet50", "MobileNetV2", "EfficientNetB0")
BATCHES = (1, 32)
COLUMNS = ("model", "batch", "channels", "ms before", "ms after", "faster", "fewer MACs", "share")


def zero_half(model: keras.Model) -> None:
    """Every second channel of each group becomes zero, with all that makes and carries it."""
    for group in channels(model).free():
        for part in group.parts:
            if "reads" not in part.roles and "variance" not in part.variable.path:
                values = np.array(keras.ops.convert_to_numpy(part.variable))
                values[(slice(None),) * part.axis + (part.indices[1::2].ravel(),)] = 0
                part.variable.assign(values)


def compacted(model: keras.Model, multiple: int) -> tuple[keras.Model, float, float]:
    """The smaller model, the seconds that it took, and how many times fewer multiply-adds."""
    start = time.perf_counter()
    small = kr.compact(model, multiple_of=multiple, verify=False)
    seconds = time.perf_counter() - start
    before, after = kr.compacting.removable(model, multiple_of=multiple, verify=False).macs
    return small, seconds, before / after


def measure(name: str, pixels: int, rounds: int) -> list[tuple[str, ...]]:
    """The rows of one model."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(pixels, pixels, 3))
    zero_half(model)
    smaller = {"as they are": compacted(model, 1), "multiples of 8": compacted(model, 8)}
    for label, (small, seconds, _) in smaller.items():
        print(f"{name}, {label}: {small.count_params():,} parameters, compact {seconds:.1f} s")
    rows = []
    for batch in BATCHES:
        x = np.random.default_rng(0).normal(size=(batch, pixels, pixels, 3)).astype("float32")
        cases = {"before": functools.partial(model.predict_on_batch, x)}
        for label, (small, _, _) in smaller.items():
            cases[label] = functools.partial(small.predict_on_batch, x)
        times = timing.interleave(cases, rounds)
        first = timing.median(times["before"])
        for label, (_, _, fewer) in smaller.items():
            rows.append(row(name, batch, label, first, timing.median(times[label]), fewer))
    return rows


def row(
    name: str, batch: int, label: str, before: float, after: float, fewer: float
) -> tuple[str, ...]:
    faster = before / after
    cells = (f"{1e3 * before:.1f}", f"{1e3 * after:.1f}", f"{faster:.2f}", f"{fewer:.2f}")
    return (name, str(batch), label, *cells, f"{faster / fewer:.2f}")


def measure_peer(pixels: int, rounds: int) -> list[tuple[str, ...]]:
    """ResNet50 in PyTorch, half of whose channels Torch-Pruning removes."""
    import torch
    import torch_pruning
    from compact_torch import resnet50

    model, small = resnet50().eval(), resnet50().eval()
    example = torch.randn(1, 3, pixels, pixels)
    before, _ = torch_pruning.utils.count_ops_and_params(model, example)
    pruner = torch_pruning.pruner.MagnitudePruner(
        small,
        example,
        importance=torch_pruning.importance.MagnitudeImportance(),
        pruning_ratio=0.5,
        ignored_layers=[small.head],
    )
    start = time.perf_counter()
    pruner.step()
    print(f"Torch-Pruning on ResNet50: {time.perf_counter() - start:.1f} s")
    after, _ = torch_pruning.utils.count_ops_and_params(small, example)
    rows = []
    for batch in BATCHES:
        x = torch.randn(batch, 3, pixels, pixels)

        def run(one: torch.nn.Module, x: torch.Tensor = x) -> torch.Tensor:
            with torch.no_grad():
                return one(x)

        cases = {"before": functools.partial(run, model), "after": functools.partial(run, small)}
        times = {name: timing.median(one) for name, one in timing.interleave(cases, rounds).items()}
        label = "Torch-Pruning"
        rows.append(row("ResNet50", batch, label, times["before"], times["after"], before / after))
    return rows


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("models", nargs="*", default=MODELS)
    arguments.add_argument("--pixels", type=int, default=224)
    arguments.add_argument("--rounds", type=int, default=20)
    given = arguments.parse_args()
    table = []
    for name in given.models:
        for cells in measure(name, given.pixels, given.rounds):
            table.append(cells)
            print(*cells, sep="  ", flush=True)
    if keras.backend.backend() == "torch":
        table += measure_peer(given.pixels, given.rounds)
    title = f"Half of the channels of each group, {given.pixels} pixels"
    timing.report(f"compact {keras.backend.backend()}", title, table, COLUMNS)


if __name__ == "__main__":
    main()
