"""The quickstart on PyTorch, and the same training in a loop of PyTorch's own.

A penalty needs no `fit`: its proximal operator is a function of a tensor, which a plain loop calls
after `optimizer.step()`. Run with `python examples/torch_backend.py`; needs `keras-reg[torch]`.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import matplotlib.pyplot as plt
import quickstart
import torch
from reporting import command, save, show

import keras_reg as kr


def own_loop(epochs, rate=2e-3):
    """Adam of PyTorch on the quickstart's network, with the proximal step of L1 written out."""
    x, x_test, y, y_test = quickstart.load()
    x, y = torch.as_tensor(x), torch.as_tensor(y)
    model, penalty = quickstart.network(), kr.regularizers.L1(0.2)
    device = model.trainable_weights[0].value.device
    adam = torch.optim.Adam([weight.value for weight in model.trainable_weights], lr=rate)
    kernels = [layer.kernel for layer in model.layers]
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(quickstart.BATCH):
            adam.zero_grad()
            logits = model(x[batch].to(device), training=True)
            torch.nn.functional.cross_entropy(logits, y[batch].to(device)).backward()
            adam.step()
            for kernel in kernels:
                kernel.assign(penalty.prox(kernel, step=rate))
    right = keras.ops.convert_to_numpy(model(x_test)).argmax(axis=1) == y_test
    return {"accuracy": right.mean(), "sparsity": kr.sparsity(model).sparsity}


def main(output=".", epochs=25):
    results = quickstart.main(epochs)
    results["a PyTorch loop, L1's prox"] = own_loop(epochs)
    title = f"On PyTorch {torch.__version__}, {epochs} epochs"
    show(title, results, {"accuracy": ".1%", "sparsity": ".1%"})
    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    axes.barh(list(results), [row["sparsity"] for row in results.values()])
    for place, row in enumerate(results.values()):
        axes.text(row["sparsity"] + 0.01, place, f"accuracy {row['accuracy']:.1%}", va="center")
    axes.set(xlabel="exact zeros", xlim=(0, 1.3), title=title)
    save(figure, output, "torch_backend.png")
    return results


if __name__ == "__main__":
    command(main)
