"""Handwritten digits, trained three times from the same start: plain, L1 in the loss, Proximal.

Keras's own L1 makes weights small. The proximal step makes them exactly zero, so that whole units
and input pixels fall away: `compact` returns the smaller model without those units. Data:
scikit-learn's 1,797 digits of 8 x 8 pixels. Run with `python examples/quickstart.py`; it takes
about a minute on two cores.
"""

import functools

import keras
import rich
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_reg as kr

EPOCHS, BATCH = 150, 128


def load():
    x, y = load_digits(return_X_y=True)
    return train_test_split(
        (x / 16).astype("float32"), y, test_size=0.25, stratify=y, random_state=0
    )


def network(regularizer=None, dropout=None):
    keras.utils.set_random_seed(0)
    dense = functools.partial(keras.layers.Dense, kernel_regularizer=regularizer)
    model = keras.Sequential([keras.Input((64,))], name="digits")
    for name, units in (("hidden_1", 256), ("hidden_2", 128)):
        model.add(dense(units, activation="relu", name=name))
        if dropout is not None:
            model.add(kr.layers.ScheduledDropout(dropout))
    model.add(dense(10, name="logits"))
    return model


def trainings(steps):
    """The three contenders: a name, a model and its optimizer."""
    falling = kr.schedules.Linear(0.3, 0.0, steps=steps // 2)
    adam = keras.optimizers.Adam
    yield "Adam", network(), adam(2e-3)
    yield "Adam, Keras L1 in loss", network(keras.regularizers.L1(1e-4)), adam(2e-3)
    proximal = kr.optimizers.Proximal(adam(2e-3), kr.regularizers.L1(0.2))
    yield "Proximal(Adam), L1, dropout", network(dropout=falling), proximal


def removed(table):
    """Hidden units and input pixels whose weights are all zero, of how many."""
    hidden = table.rows[:-1]
    units = f"{sum(row.zero_outputs for row in hidden)}/{sum(row.shape[-1] for row in hidden)}"
    return units, f"{hidden[0].zero_inputs}/{hidden[0].shape[-2]}"


def main(epochs=EPOCHS):
    x_train, x_test, y_train, y_test = load()
    report = Table(title=f"Digits, 64-256-128-10, {epochs} epochs, {keras.backend.backend()}")
    for column in ("training", "test accuracy", "exact zeros", "units out", "pixels out"):
        report.add_column(column, justify="left" if column == "training" else "right")
    results = {}
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), TextColumn("")) as bar:
        for name, model, optimizer in trainings(steps=epochs * -(-len(x_train) // BATCH)):
            task = bar.add_task(name, total=epochs)
            step = keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs, task=task: bar.advance(task)
            )
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(optimizer, loss, metrics=["accuracy"])
            model.fit(x_train, y_train, BATCH, epochs, verbose=0, callbacks=[step])
            accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
            table = kr.sparsity(model)
            report.add_row(name, f"{accuracy:.1%}", f"{table.sparsity:.1%}", *removed(table))
            results[name] = {"accuracy": accuracy, "sparsity": table.sparsity}
    rich.print(table, report)
    small = kr.compact(model)
    rich.print(kr.compacting.removable(model))
    rich.print(kr.compare({"trained": model, "compact": small}, x_test, y_test, ["accuracy"]))
    return results


if __name__ == "__main__":
    main()
