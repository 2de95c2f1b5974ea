"""Abnormal beats of a record that nobody has labelled (notebook 04, section 9; beyond the reports).

- `own_record`: a cardiologist's three questions, each beat against the usual ones of its own record
- `tables`, `figures`: what the notebook shows of it
- `detect`: `ecglib detect`, any recording of one's own, block by block
- `judges`: who gives a beat its score there, the three questions or BeatGAN
- `reference`: normal beats of other people, the scale of a score
- `page`: what it writes
"""
