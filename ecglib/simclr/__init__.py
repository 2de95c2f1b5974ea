"""Notebook 04: R2, SimCLR alone and inside BeatGAN, and a label-free detector beyond it.

- `losses`: `nt_xent` (section 3.3.2)
- `networks`: base encoder and projection head (figure 3)
- `encoder`: `EncoderConfig`, SimCLR by itself
- `scenarios`: `ScenarioConfig`, contrast in D (section 4.3.1) and in G (section 4.3.2)
- `arms`: the scenarios with their controls
- `similarity`: how alike views are, and beats of one patient
- `distances`, `detectors`: how far a beat lies from normal ones
- `tables`, `figures`, `diagrams`, `ledger`: what the notebook shows
"""
