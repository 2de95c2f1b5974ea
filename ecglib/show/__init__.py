"""What all chapters need to show their results.

- `study`: what a notebook knows of its profile; saves tables and figures
- `words`: intervals as text, whether a published number is reproduced
- `ledger`: every number of a report beside what was measured
- `style`: the look of every figure
- `marks`: figures that several chapters have
- `touch`: controls that redraw a figure in Jupyter
- `diagrams`: boxes and arrows of the reports' diagrams
"""
