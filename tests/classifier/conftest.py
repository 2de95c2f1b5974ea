"""What the tests of classifiers share."""

import pytest

from ecglib.data import ptbxl


@pytest.fixture(scope="module")
def records(simulated_root):
    """All simulated records."""
    return ptbxl.load_records(simulated_root)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of the module's own."""
    return tmp_path_factory.mktemp("runs")
