"""The peer of benchmarks/accuracy.py in PyTorch: prune.global_unstructured along the same ramp.

python benchmarks/accuracy_torch.py
"""

import itertools
import math

import accuracy_tasks as tasks
import torch
from torch.nn.utils import prune


def network(task: str, features: int) -> torch.nn.Sequential:
    """The network of a task, started as Keras starts it."""
    nn = torch.nn
    if task in tasks.UNITS:
        sizes, first = (features, *tasks.UNITS[task], 10), []
    else:
        sizes, first = (1024, 64, 10), [nn.Unflatten(1, (1, 8, 8))]
        for channels in ((1, 32, 1), (32, 64, 2)):
            first += [nn.Conv2d(*channels[:2], 3, channels[2], padding=1), nn.ReLU()]
        first.append(nn.Flatten())
    dense = [(nn.Linear(*pair), nn.ReLU()) for pair in itertools.pairwise(sizes)]
    model = nn.Sequential(*first, *itertools.chain(*dense))[:-1]
    for layer in weighted(model):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return model


def weighted(model: torch.nn.Sequential) -> list[torch.nn.Module]:
    return [layer for layer in model if hasattr(layer, "weight")]


def train(task: str, sparsity: float, seed: int) -> tuple[float, float]:
    """The share of zeros and the test accuracy at the end of a training."""
    x, x_test, y, y_test = (torch.tensor(part) for part in tasks.load(task))
    torch.manual_seed(seed)
    model = network(task, x.shape[1])
    weights = [(layer, "weight") for layer in weighted(model)]
    total = sum(layer.weight.numel() for layer, _ in weights)
    optimizer, pruned, step = torch.optim.Adam(model.parameters(), tasks.RATE, eps=1e-7), 0, 0
    steps = -(-len(x) // tasks.BATCH[task])
    first = round(tasks.REFIT * tasks.EPOCHS) * steps
    for epoch in range(tasks.EPOCHS):
        if epoch * steps == first:
            optimizer = torch.optim.Adam(model.parameters(), tasks.RATE, eps=1e-7)
        for batch in torch.randperm(len(x)).split(tasks.BATCH[task]):
            done = step / first if step < first else (step - first) / (tasks.EPOCHS * steps - first)
            cosine = (1 + math.cos(math.pi * done)) / 2
            optimizer.param_groups[0]["lr"] = tasks.RATE * (
                tasks.LOWEST + (1 - tasks.LOWEST) * cosine
            )
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x[batch]), y[batch].long())
            loss.backward()
            optimizer.step()
            step += 1
            due = (
                round(tasks.ramp(step, round(tasks.RAMP * tasks.EPOCHS * steps), sparsity) * total)
                - pruned
            )
            if step % tasks.EVERY == 0 and due > 0:
                prune.global_unstructured(weights, prune.L1Unstructured, amount=due)
                pruned += due
    zeros = sum(int((layer.weight == 0).sum()) for layer, _ in weights) / total
    with torch.no_grad():
        right = (model(x_test).argmax(1) == y_test).float().mean()
    return zeros, float(right)


if __name__ == "__main__":
    tasks.peer(__doc__.splitlines()[0], "torch global_unstructured", train)
