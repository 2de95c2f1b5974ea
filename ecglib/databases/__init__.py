"""Notebook 01: the tables and figures of the two databases.

- `primer`: what an ECG is, for whoever sees one for the first time
- `tables`: beats of each class and patient in each part of a split
- `figures`: records, filter, window, classes, splits; R3 figures 2 to 5
"""
