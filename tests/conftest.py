"""What every test module may use; nothing here needs the network or a screen."""

import os
from pathlib import Path

import pytest

os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib

try:
    import torch
except ImportError:  # the tests of the driver and of the notebooks' structure need no torch
    pass
else:
    torch.set_num_threads(2)  # the tests' networks are small: more threads cost more than they give


@pytest.fixture(scope="session")
def real_root() -> Path:
    """The folder of the real databases, read-only."""
    root = os.environ.get("ECGLIB_DATA")
    if not (root and Path(root).is_dir()):
        pytest.skip("the real databases are absent: set ECGLIB_DATA to a folder that holds mitdb/1.0.0")
    return Path(root)


@pytest.fixture(scope="session")
def simulated_root() -> Path:
    """The folder of the simulated databases, made once and kept in the cache."""
    from ecglib.data import simulate

    return simulate.simulated_root()
