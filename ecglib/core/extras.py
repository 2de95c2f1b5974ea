"""Optional packages."""

import importlib
from typing import Any

from ecglib.core.errors import EcglibError


def need(name: str, extra: str = "compress") -> Any:
    """A module of an extra of this package.

    Raises:
        EcglibError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise EcglibError(f"{name} is missing: pip install -c constraints.txt -e '.[{extra}]'.") from error
