"""ecglib: the library behind the ECG paper companion.

Data flows one way: `data -> models, losses -> training -> experiments -> notebooks and command line`;
`metrics` and `plots` know arrays, not models.
"""

__version__ = "0.1.0"
