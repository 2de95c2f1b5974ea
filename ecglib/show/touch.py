"""Controls that redraw a figure, for a person in Jupyter. Elsewhere the static figure above them stands alone."""

import os
from collections.abc import Callable, Sequence

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure


def live() -> bool:
    """Whether a person may be looking on: Jupyter's server names a kernel's session, papermill and nbval do not."""
    return "JPY_SESSION_NAME" in os.environ


def touch(draw: Callable[..., Figure], **choices: Sequence[object]) -> ipywidgets.Widget | None:
    """Controls for the arguments of `draw`, with the figure that it returns below them; None if nobody looks on.

    Args:
        draw: draws the figure anew from one choice of each control.
        choices: name of an argument -> what it may be: buttons for words, the first of them set; for
            anything else a slider, set to the middle.
    """
    if not live():
        return None
    controls = {}
    for name, options in choices.items():
        words = all(isinstance(one, str) for one in options)
        kind = ipywidgets.ToggleButtons if words else ipywidgets.SelectionSlider
        controls[name] = kind(options=list(options), value=options[0 if words else len(options) // 2], description=name)

    def redraw(**values: object) -> None:
        figure = draw(**values)
        plt.close(figure)  # else Jupyter shows it twice: here, and as an open figure
        display(figure)

    return ipywidgets.interactive(redraw, **controls)
