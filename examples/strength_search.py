"""How strong, and how much dropout: a random search with KerasTuner, a grid with Optuna.

Both score by scikit-learn's K-fold cross-validation, through `keras.wrappers`. Trials are kept in
the output folder: stopped and started again, or with more `--trials`, the search goes on.
"""

import keras
import keras_tuner
import matplotlib.pyplot as plt
import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage
from reporting import command, quiet, save, show
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score, train_test_split

import keras_reg as kr

STRENGTHS, RATES = [0.05, 0.2, 0.8], [0.0, 0.25, 0.5]


def network(X, y, strength, rate):  # noqa: N803 (the wrapper gives X by name)
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(128, "relu"), kr.layers.ScheduledDropout(rate)]
    model = keras.Sequential([*hidden, keras.layers.Dense(y.shape[1], "softmax")])
    optimizer = kr.optimizers.Proximal(keras.optimizers.Adam(2e-3), kr.regularizers.L1(strength))
    model.compile(optimizer, "categorical_crossentropy")
    return model


def classifier(strength, rate):
    arguments = {"strength": strength, "rate": rate}
    return keras.wrappers.SKLearnClassifier(network, model_kwargs=arguments)


class CrossValidated(keras_tuner.RandomSearch):
    def run_trial(self, trial, score, **_):
        return {"accuracy": score(trial.hyperparameters["strength"], trial.hyperparameters["rate"])}


def randomly(score, folder, count):
    """(accuracy, strength, rate) of `count` trials of KerasTuner, earlier ones too."""
    values = keras_tuner.HyperParameters()
    values.Float("strength", STRENGTHS[0], STRENGTHS[-1], sampling="log")
    values.Float("rate", RATES[0], RATES[-1])
    settings = {"objective": keras_tuner.Objective("accuracy", "max"), "max_trials": count}
    tuner = CrossValidated(seed=0, hyperparameters=values, directory=folder, **settings)
    tuner.search(score, verbose=0)
    best = tuner.oracle.get_best_trials(count)
    return [(t.score, t.hyperparameters["strength"], t.hyperparameters["rate"]) for t in best]


def grid(score, folder, count):
    """(accuracy, strength, rate) of up to `count` trials of Optuna, earlier ones too."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(f"{folder}/optuna.log"))
    kept = {"study_name": "digits", "storage": storage, "load_if_exists": True}
    sampler = optuna.samplers.GridSampler({"strength": STRENGTHS, "rate": RATES}, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler, **kept)

    def objective(trial):
        strength = trial.suggest_float("strength", STRENGTHS[0], STRENGTHS[-1])
        return score(strength, trial.suggest_float("rate", RATES[0], RATES[-1]))

    study.optimize(objective, max(0, count - sum(bool(t.values) for t in study.trials)))
    return [(t.value, t.params["strength"], t.params["rate"]) for t in study.trials if t.values]


def main(output=".", epochs=15, folds=3, trials=9):
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x / 16, y, stratify=y, random_state=0)
    folder, new, results = f"{output}/strength_search", [], {}

    # Given to `fit`: the wrapper's own `fit_kwargs` are lost when scikit-learn clones it.
    fitting = {"epochs": epochs, "batch_size": 64, "verbose": 0}

    def score(strength, rate):
        new.append((strength, rate))
        return cross_val_score(classifier(strength, rate), x, y, cv=folds, params=fitting).mean()

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, search, marker in (("random", randomly, "o"), ("grid", grid, "s")):
        with quiet():
            points = search(score, folder, trials)
            accuracy, strength, rate = max(points)
            test = classifier(strength, rate).fit(x, y, **fitting).score(x_test, y_test)
        row = {"trials": len(points), "strength": strength, "rate": rate}
        results[name] = row | {"cross-validated": accuracy, "test accuracy": test}
        scores, *places = zip(*points, strict=True)
        shown = axes.scatter(*places, 90, scores, marker=marker, edgecolors="k")
    figure.colorbar(shown, label="accuracy; squares: the grid")
    axes.set(xscale="log", xlabel="strength", ylabel="rate")
    formats = dict.fromkeys(row, ".2g") | dict.fromkeys(("cross-validated", "test accuracy"), ".1%")
    show(f"Digits, {folds} folds, {len(new)} new trials", results, formats)
    save(figure, output, "strength_search.png")
    return results | {"new": len(new)}


if __name__ == "__main__":
    command(main)
