"""Notebooks 02 and 03: R1, BeatGAN and what a second one may learn from it.

- `networks`: figures 1 to 3
- `losses`: `equation_1`, `equation_2`, `equation_3`, `attention_transfer` (section 3.3.4.4)
- `training`: one update of D and G, and the three rules of choosing an epoch
- `distillation`: what may be distilled, and when a teacher may teach
- `task`: `BeatGANConfig`, its training from the first epoch to the last, `BeatGANRun`
- `arms`: every arm of the question with its control
- `baselines`: PCA, one-class SVM, isolation forest, autoencoder, VAE
- `explanation`: which ticks carry the error
- `tables`, `figures`, `diagrams`, `ledger`: what the notebooks show
"""
