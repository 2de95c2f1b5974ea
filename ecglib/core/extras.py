"""Optional packages."""

import importlib
from typing import Any

from ecglib.core.errors import EcglibError


def need(name: str) -> Any:
    """A module of the extra `compress`.

    Raises:
        EcglibError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise EcglibError(f"{name} is missing: pip install -c constraints.txt -e '.[compress]'.") from error
