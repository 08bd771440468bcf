"""Proximal on several devices, in processes of their own: the weights of one device."""

import json
import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import worker

BACKEND = keras.backend.backend()


def start(task, **environment):
    return subprocess.Popen(
        [sys.executable, worker.__file__, task],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result_of(process, timeout=400):
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, err[-2000:]
    return json.loads(out.splitlines()[-1])


def assert_same_weights(results, reference):
    zeros = 0
    for one, two in zip(map(np.array, results), map(np.array, reference), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)
        assert np.array_equal(one == 0, two == 0)
        zeros += np.sum(two == 0)
    assert zeros >= 8


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.skipif(BACKEND != "tensorflow", reason="MultiWorkerMirroredStrategy is TensorFlow's")
def test_two_workers_train_as_one_device():
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    workers = [
        start(
            "train_in_strategy",
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
        )
        for index in range(2)
    ]
    alone = worker.train_in_strategy()
    for each in workers:
        assert_same_weights(result_of(each), alone)


@pytest.mark.skipif(BACKEND != "jax", reason="keras.distribution is JAX's")
def test_eight_devices_train_as_one():
    flags = "--xla_force_host_platform_device_count=8"
    results = result_of(start("sharded", XLA_FLAGS=flags, JAX_PLATFORMS="cpu"))
    for name in ("data", "outputs", "inputs"):
        assert_same_weights(results[name], results["alone"])
    for name in ("outputs", "inputs"):
        assert_same_weights(results[f"{name} averaged"], results["alone averaged"])
    # TopK over all variables, of which some are spread over devices.
    assert_same_weights(results["pruned"], results["alone pruned"])
    kernels = [w for w in map(np.array, results["pruned"]) if w.ndim == 2]
    assert sum(np.sum(w == 0) for w in kernels) == sum(w.size for w in kernels) // 2
    plain, penalized = results["all-reduces"]
    assert penalized == plain


@pytest.mark.skipif(BACKEND != "torch", reason="DistributedDataParallel is PyTorch's")
def test_two_processes_train_as_one(tmp_path):
    def processes(count):
        (port,) = free_ports(1)
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
        return [
            start(
                "train_in_torch",
                **address,
                RANK=str(rank),
                REPORT=str(tmp_path / f"{rank}of{count}"),
            )
            for rank in range(count)
        ]

    first, second = map(result_of, processes(2))
    (alone,) = map(result_of, processes(1))
    assert_same_weights(first["weights"], alone["weights"])
    assert first["weights"] == second["weights"]
    # Each process drops other elements, the first one those that a single process drops.
    assert first["mask"] == alone["mask"]
    assert 16 <= np.sum(np.array(first["mask"]) != np.array(second["mask"])) <= 48
    # The chief alone prints and writes.
    assert [each["printed"] for each in (first, second)] == [True, False]
    assert [each["written"] for each in (first, second)] == [True, False]
