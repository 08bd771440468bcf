"""BackupAndRestore: a killed process goes on bit for bit as if it had not stopped."""

import pathlib
import signal
import subprocess
import sys

import numpy as np

SCRIPT = pathlib.Path(__file__).with_name("interrupted.py")


def start(folder, kill_at):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), str(kill_at)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_run_continues_bit_for_bit(tmp_path):
    whole = start(tmp_path / "whole", -1)
    killed = start(tmp_path / "killed", 3)
    killed.communicate(timeout=400)
    assert killed.returncode == -signal.SIGKILL
    again = start(tmp_path / "killed", -1)
    for process in (whole, again):
        _, errors = process.communicate(timeout=400)
        assert process.returncode == 0, errors[-2000:]
    straight, resumed = (np.load(tmp_path / name / "end.npz") for name in ("whole", "killed"))
    assert straight.files == resumed.files
    scale = straight[straight.files[-1]]
    assert scale.shape == ()
    assert scale != 1.0
    for name in straight.files:
        np.testing.assert_array_equal(straight[name], resumed[name])
