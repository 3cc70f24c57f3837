import gc
import os

# tests run in two processes (pytest-xdist); with two threads each they would wait for each other. Tests about
# threads start children that have two
os.environ |= {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import numpy as np
import pytest

from minivae import VAE, Adam, backends, data


def pytest_collection_finish():
    """The tests and what they import are never garbage: the collector need not look among them, nor often."""
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


@pytest.fixture(scope="session", autouse=True)
def compiled_once(request):
    """In a full run, each of the two processes compiles the kernels for one type and loads the other's."""
    if request.session.testscollected > 1000:
        second = os.environ.get("PYTEST_XDIST_WORKER") == "gw1"
        model = VAE(3, 1, (2,), dtype="float64" if second else "float32")
        Adam().step(model.params, model.loss_and_grads(np.zeros((2, 3)), np.zeros((2, 1)))[1])


@pytest.fixture(params=["numpy", "numba"])
def backend(request):
    """Every test that takes this runs on both."""
    return request.param


@pytest.fixture
def ops(backend):
    return backends.namespace(backend)


@pytest.fixture
def rng():
    return np.random.default_rng(20260801)


@pytest.fixture(scope="session")
def digits():
    """The first 330 and 100 MNIST digits: in minibatches of 50 seven steps, the last one short."""
    mnist = data.load_mnist()
    return data.Dataset(
        mnist.x_train[:330], mnist.y_train[:330], mnist.x_test[:100], mnist.y_test[:100], (28, 28)
    )
