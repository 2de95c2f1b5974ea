"""Abnormal beats of a record that nobody has labelled (notebook 04, section 9; beyond the reports).

- `own_record`: a cardiologist's three questions, each beat against the usual ones of its own record
- `tables`, `figures`: what the notebook shows of it
"""
