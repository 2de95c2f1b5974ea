"""Numbers from scores and labels alone, with their intervals.

- `metrics`: AUC, AP, F1; bootstrap over beats and over patients; Student's t interval over seeds
- `multilabel`: the same for several labels a record, Brier score and calibration
- `comparisons`: is one arm better than another? Paired and unpaired tests, Holm over a table, verdicts, power
- `margins`: are two equal within a margin, and is a goal reached?
- `surprise`: scores of different units combined into one
"""
