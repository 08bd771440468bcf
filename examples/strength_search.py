"""How strong, and how much dropout: a grid with KerasTuner, a random search with Optuna.

Both score by the same K-fold cross-validation of scikit-learn, through `keras.wrappers`. Trials are
kept in the output folder: stopped and started again, or with more `--trials`, the search goes on.
"""

import keras
import keras_tuner
import matplotlib.pyplot as plt
import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage
from reporting import command, save, show
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score, train_test_split

import keras_reg as kr

STRENGTHS, RATES = [0.05, 0.2, 0.8], [0.0, 0.25, 0.5]


def network(x, y, strength, rate):
    """What the wrapper calls with the training fold; the labels are one-hot rows by then."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(128, "relu"), kr.layers.ScheduledDropout(rate)]
    model = keras.Sequential([*hidden, keras.layers.Dense(y.shape[1], "softmax")])
    optimizer = kr.optimizers.Proximal(keras.optimizers.Adam(2e-3), kr.regularizers.L1(strength))
    model.compile(optimizer, "categorical_crossentropy")
    return model


def classifier(strength, rate, epochs):
    arguments = {"strength": strength, "rate": rate}
    fitting = {"epochs": epochs, "batch_size": 64, "verbose": 0}
    return keras.wrappers.SKLearnClassifier(network, model_kwargs=arguments, fit_kwargs=fitting)


class CrossValidated(keras_tuner.GridSearch):
    def run_trial(self, trial, score, **_):
        return {"accuracy": score(trial.hyperparameters["strength"], trial.hyperparameters["rate"])}


def grid(score, folder, count):
    """(accuracy, strength, rate) of up to `count` trials of KerasTuner, earlier ones too."""
    values = keras_tuner.HyperParameters()
    values.Choice("strength", STRENGTHS)
    values.Choice("rate", RATES)
    best = keras_tuner.Objective("accuracy", "max")
    tuner = CrossValidated(None, best, count, hyperparameters=values, directory=folder)
    tuner.search(score, verbose=0)
    best = [(t.score, t.hyperparameters) for t in tuner.oracle.get_best_trials(count)]
    return [(score, values["strength"], values["rate"]) for score, values in best]


def randomly(score, folder, count):
    """(accuracy, strength, rate) of `count` trials of Optuna, earlier ones too."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(f"{folder}/optuna.log"))
    kept = {"study_name": "digits", "storage": storage, "load_if_exists": True}
    study = optuna.create_study(direction="maximize", **kept)
    # Another seed when it goes on, or it would draw the same points again.
    study.sampler = optuna.samplers.RandomSampler(seed=len(study.trials))

    def objective(trial):
        strength = trial.suggest_float("strength", STRENGTHS[0], STRENGTHS[-1], log=True)
        return score(strength, trial.suggest_float("rate", RATES[0], RATES[-1]))

    study.optimize(objective, max(0, count - sum(bool(t.values) for t in study.trials)))
    return [(t.value, t.params["strength"], t.params["rate"]) for t in study.trials if t.values]


def main(output=".", epochs=15, folds=3, trials=9):
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x / 16, y, stratify=y, random_state=0)
    folder, new, results = f"{output}/strength_search", [], {}

    def score(strength, rate):
        new.append((strength, rate))
        return cross_val_score(classifier(strength, rate, epochs), x, y, cv=folds).mean()

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, search, marker in (("grid", grid, "s"), ("random", randomly, "o")):
        points = search(score, folder, trials)
        accuracy, strength, rate = max(points)
        test = classifier(strength, rate, epochs).fit(x, y).score(x_test, y_test)
        row = {"trials": len(points), "strength": strength, "rate": rate}
        results[name] = row | {"cross-validated": accuracy, "test accuracy": test}
        scores, *places = zip(*points, strict=True)
        shown = axes.scatter(*places, 90, scores, marker, edgecolors="k")
    figure.colorbar(shown, label="cross-validated accuracy; squares: the grid")
    axes.set(xscale="log", xlabel="strength", ylabel="rate")
    formats = dict.fromkeys(row, ".2g") | dict.fromkeys(("cross-validated", "test accuracy"), ".1%")
    show(f"Digits, {folds} folds, {len(new)} new trials", results, formats)
    save(figure, output, "strength_search.png")
    return {**results, "new": len(new)}


if __name__ == "__main__":
    command(main)
