import os

# tests run on two processes (pytest-xdist), and a process with two threads would wait for the other's; children
# of tests about threads ask for two
os.environ |= {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from minivae import backends, data  # noqa: E402


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
