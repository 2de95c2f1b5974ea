"""Notebook 05: R3, a PTB-XL classifier and its compression.

- `networks`: figures 7, 8, 16, 17, table 2, and the field's reference
- `losses`: distillation as coded and corrected; `frskd`: self-distillation
- `training`, `task`, `run`: one epoch; `ClassifierConfig`, its whole training; `ClassifierRun`, what is kept of it
- `pretraining`: convolutions that contrast has trained
- `arms`: every arm with its control; `steps`: those that train the student better
- `prune`, `quantise`, `attempts`, `slips`: what R3 did to its network, and what makes one fall
- `contract`, `onnx`, `deployed`, `measure`, `export`, `classify`: a network as a file, in INT8, and in use
- `baselines`: boosted trees on the median beat
- `attribution`: what a network looked at; `layers`: R3's layers beside ours
- `claims`, `tables`, `figures`, `diagrams`, `ledger`: what the notebook shows
"""
