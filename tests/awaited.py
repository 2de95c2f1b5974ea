"""Executed pages whose trainings are under way: a check that must fail until they are made again, and then must pass."""

import pytest

AWAITED: dict[str, str] = {
    "desk-05_ptbxl_compression": "R3's networks are being trained on R3's own split",
}


def page_id(path):
    """How a page is called: its profile and its notebook."""
    return f"{path.parent.name}-{path.stem}"


def pages(paths):
    """Parameters of a test over pages; strict, so that a page that has been made again must leave the list."""
    return [pytest.param(path, id=page_id(path), marks=marks(page_id(path))) for path in paths]


def marks(name):
    """The mark of an awaited page."""
    return [pytest.mark.xfail(strict=True, reason=AWAITED[name])] if name in AWAITED else []
