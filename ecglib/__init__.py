"""ecglib: the library behind the ECG paper companion.

Data flows one way: `data`, then the models, losses, trainings and comparisons of `beatgan`, `simclr` and `classifier`,
then notebooks and command line (`book`). `stats` and `show` know arrays, not models. CONTRIBUTING.md has the order.
"""

__version__ = "0.1.0"
