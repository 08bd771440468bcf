"""How strong, and how much dropout: `path` for the strength, KerasTuner or Optuna for the rest.

One strength to choose: `kr.selection.path`, whose strengths share their training. With learning
rates, widths or dropout: a tuner, each trial of which is a path, so that it need not search for the
strength too. Trials are kept in the output folder: stopped and started again, or with more
`--trials`, the search goes on.
"""

import functools

import keras
import keras_tuner
import numpy as np
import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage
from reporting import command, quiet, save, show
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_reg as kr

RATES = [0.0, 0.25, 0.5]


def network(rate):
    hidden = [keras.layers.Dense(128, "relu"), kr.layers.ScheduledDropout(rate)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10, "softmax")])
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
    return model


def randomly(score, folder, count):
    """(accuracy, rate) of `count` trials of KerasTuner, earlier ones too."""

    class ByPath(keras_tuner.RandomSearch):
        def run_trial(self, trial, **_):
            return {"accuracy": score(trial.hyperparameters["rate"])}

    values = keras_tuner.HyperParameters()
    values.Float("rate", RATES[0], RATES[-1])
    settings = {"objective": keras_tuner.Objective("accuracy", "max"), "max_trials": count}
    tuner = ByPath(seed=0, hyperparameters=values, directory=folder, **settings)
    tuner.search(verbose=0)
    return [(t.score, t.hyperparameters["rate"]) for t in tuner.oracle.get_best_trials(count)]


def grid(score, folder, count):
    """(accuracy, rate) of up to `count` trials of Optuna, earlier ones too."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(f"{folder}/optuna.log"))
    kept = {"study_name": "digits", "storage": storage, "load_if_exists": True}
    sampler = optuna.samplers.GridSampler({"rate": RATES}, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler, **kept)
    left = max(0, count - sum(bool(t.values) for t in study.trials))
    study.optimize(lambda trial: score(trial.suggest_float("rate", RATES[0], RATES[-1])), left)
    return [(t.value, t.params["rate"]) for t in study.trials if t.values]


def main(output=".", epochs=15, folds=3, trials=3, seeds=3, strengths=8):
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x / 16, y, stratify=y, random_state=0)
    new, results = [], {}
    run = {"epochs": epochs, "strengths": np.geomspace(0.02, 2, strengths), "batch_size": 64}

    @functools.cache
    def path(rate, seed=0):
        build = functools.partial(network, rate)
        settings = {"folds": folds, "seeds": [seed], "score": "accuracy", "verbose": 0}
        return kr.selection.path(build, x, y, kr.regularizers.L1(), **run, **settings)

    def score(rate):
        new.append(rate)
        return path(rate).best.score

    for name, search in (("path alone", None), ("random", randomly), ("grid", grid)):
        with quiet():
            points = search(score, f"{output}/strength_search", trials) if search else [(0, 0.25)]
        rate = max(points)[1]
        paths = [path(rate, seed) for seed in range(seeds)]
        tests = [one.model("best").evaluate(x_test, y_test, verbose=0)[1] for one in paths]
        cross = np.mean([one.best.score for one in paths])
        row = {"trials": len(points), "rate": rate, "strength": paths[0].best.strength}
        row |= {"zeros": paths[0].best.zeros, "cross-validated": cross}
        results[name] = row | {"test accuracy": np.mean(tests), "±": np.std(tests)}
    shares = dict.fromkeys(("zeros", "cross-validated", "test accuracy", "±"), ".1%")
    formats = dict.fromkeys(("trials", "rate", "strength"), ".2g") | shares
    show(f"Digits, {folds} folds, {len(new)} new trials, {seeds} seeds", results, formats)
    save(paths[0].plot(), output, "strength_search.png")
    return results | {"new": len(new)}


if __name__ == "__main__":
    command(main)
