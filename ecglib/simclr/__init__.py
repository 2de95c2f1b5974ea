"""Notebook 04: report R2 (SimCLR alone and inside BeatGAN), and a label-free detector that goes beyond it.

- `losses`: `nt_xent` (section 3.3.2)
- `networks`: base encoder and projection head (figure 3)
- `encoder`: `EncoderConfig`, SimCLR alone
- `scenarios`: `ScenarioConfig`, contrast in D (section 4.3.1) and in G (section 4.3.2)
- `arms`: the scenarios with their controls, and what the detectors need
- `similarity`: the similarity of views, and of beats of one patient
- `distances`, `detectors`: the distance of a beat from normal ones
- `tables`, `figures`, `diagrams`, `ledger`: what the notebook shows
"""
