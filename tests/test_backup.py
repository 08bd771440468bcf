"""BackupAndRestore: what a killed process began goes on bit for bit as if it had not stopped."""

import signal
import subprocess
import sys

import interrupted
import numpy as np


def test_killed_run_continues_bit_for_bit(tmp_path):
    straight, resumed = tmp_path / "whole", tmp_path / "killed"
    straight.mkdir()
    resumed.mkdir()
    killed = subprocess.run(
        [sys.executable, interrupted.__file__, str(resumed), "3"],
        stdout=subprocess.DEVNULL,
        check=False,
        timeout=400,
    )
    assert killed.returncode == -signal.SIGKILL
    ends = []
    for folder in (straight, resumed):
        interrupted.main(folder, kill_at=-1)
        ends.append(np.load(folder / "end.npz"))
    straight, resumed = ends
    assert straight.files == resumed.files
    scale = straight[straight.files[-1]]
    assert scale.shape == ()
    assert scale != 1.0
    for name in straight.files:
        np.testing.assert_array_equal(straight[name], resumed[name])
