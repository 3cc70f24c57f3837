import numpy as np
import pytest

from minivae import backends


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
