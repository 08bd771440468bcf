"""Each example runs on a small setting and does what it says."""

import quickstart


def test_quickstart_removes_weights_that_keras_keeps(capsys):
    results = quickstart.main(epochs=12)
    plain, in_the_loss, proximal = results.values()
    assert plain["sparsity"] == in_the_loss["sparsity"] == 0.0
    assert proximal["sparsity"] > 0.1
    assert proximal["accuracy"] > plain["accuracy"] - 0.03
    assert "units out" in capsys.readouterr().out
