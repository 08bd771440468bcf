"""The peer of benchmarks/accuracy.py in PyTorch: prune.global_unstructured along the same ramp.

python benchmarks/accuracy_torch.py --store build/accuracy_torch.json
"""

import argparse
import itertools
import math

import torch
from accuracy_tasks import (
    BATCH,
    EPOCHS,
    EVERY,
    LOWEST,
    RAMP,
    RATE,
    REFIT,
    SPARSITIES,
    UNITS,
    Store,
    load,
    ramp,
)
from torch.nn.utils import prune


def network(task: str, features: int) -> torch.nn.Sequential:
    """The dense network of a task, started as Keras starts it."""
    sizes = (features, *UNITS[task], 10)
    linear = [torch.nn.Linear(*pair) for pair in itertools.pairwise(sizes)]
    for layer in linear:
        torch.nn.init.xavier_uniform_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    parts = [part for layer in linear for part in (layer, torch.nn.ReLU())]
    return torch.nn.Sequential(*parts[:-1])


def train(task: str, sparsity: float, seed: int) -> tuple[float, float]:
    """The share of zeros and the test accuracy at the end of a training."""
    x, x_test, y, y_test = (torch.tensor(part) for part in load(task))
    torch.manual_seed(seed)
    model = network(task, x.shape[1])
    weights = [(layer, "weight") for layer in model if isinstance(layer, torch.nn.Linear)]
    total = sum(layer.weight.numel() for layer, _ in weights)
    optimizer, pruned, step = torch.optim.Adam(model.parameters(), RATE, eps=1e-7), 0, 0
    steps = -(-len(x) // BATCH[task])
    first = round(REFIT * EPOCHS) * steps
    for epoch in range(EPOCHS):
        if epoch * steps == first:
            optimizer = torch.optim.Adam(model.parameters(), RATE, eps=1e-7)
        for batch in torch.randperm(len(x)).split(BATCH[task]):
            done = step / first if step < first else (step - first) / (EPOCHS * steps - first)
            cosine = (1 + math.cos(math.pi * done)) / 2
            optimizer.param_groups[0]["lr"] = RATE * (LOWEST + (1 - LOWEST) * cosine)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x[batch]), y[batch].long())
            loss.backward()
            optimizer.step()
            step += 1
            due = round(ramp(step, round(RAMP * EPOCHS * steps), sparsity) * total) - pruned
            if step % EVERY == 0 and due > 0:
                prune.global_unstructured(weights, prune.L1Unstructured, amount=due)
                pruned += due
    zeros = sum(int((layer.weight == 0).sum()) for layer, _ in weights) / total
    with torch.no_grad():
        right = (model(x_test).argmax(1) == y_test).float().mean()
    return zeros, float(right)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="build/accuracy_torch.json")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", default=list(UNITS))
    parser.add_argument("--sparsities", nargs="*", type=float, default=SPARSITIES)
    options = parser.parse_args()
    store = Store(options.store)
    cases = itertools.product(range(options.seeds), options.tasks, options.sparsities)
    for seed, task, sparsity in cases:
        key = (task, "torch global_unstructured", sparsity, seed)
        if not store.has(key):
            store.add(key, *train(task, sparsity, seed))


if __name__ == "__main__":
    main()
