"""The default data: small simulated databases as WFDB files, laid out as on PhysioNet and read by the same loaders.

Every notebook must run offline on a laptop, and real beats may not be committed. The simulated databases show the
steps; their numbers are not comparable with any report's.
"""

import hashlib
from pathlib import Path

from ecglib.core.files import atomic_path, cache_dir, sweep
from ecglib.data import simulate_mitbih, simulate_ptbxl


def simulated_root(seed: int = 0) -> Path:
    """The data root of the simulated databases, from the cache or made in about ten seconds.

    Raises:
        EcglibError: the cache cannot be written.
    """
    digest = hashlib.sha256(str(seed).encode())
    for module in (__file__, simulate_mitbih.__file__, simulate_ptbxl.__file__):
        digest.update(Path(str(module)).read_bytes())
    root = cache_dir() / "simulated" / digest.hexdigest()[:16]
    sweep(root.parent, ".*")  # what was half made when its process was killed
    if not root.is_dir():
        with atomic_path(root, folder=True) as temporary:
            write_simulated(temporary, seed)
    return root


def write_simulated(root: Path, seed: int) -> None:
    """Write both databases below `root`; the same seed gives the same bytes."""
    simulate_mitbih.write(root / "mitdb" / "1.0.0", seed)
    simulate_ptbxl.write(root / "ptb-xl" / "1.0.3", seed)
