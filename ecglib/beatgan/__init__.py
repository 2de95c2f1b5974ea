"""Notebooks 02 and 03: R1's BeatGAN, and distillation from one BeatGAN into another.

- `networks`: figures 1 to 3
- `losses`: `equation_1`, `equation_2`, `equation_3`, `attention_transfer` (section 3.3.4.4)
- `scoring`: scores by ONNX Runtime, for use
- `quarter`: numbers of the last quarter of the epochs, which need no choice of one
- `training`: one update of D and G, and the three rules that choose an epoch
- `distillation`: what a teacher may pass on, and the check that it beats chance
- `task`: `BeatGANConfig` with the whole training, and `BeatGANRun`
- `arms`: every arm of the experiment with its control
- `baselines`: PCA, one-class SVM, isolation forest, VAE
- `experiments`: which arm and which number stand for each experiment of R1
- `explanation`: which ticks carry the error
- `tables`, `figures`, `diagrams`, `ledger`: what the notebooks show
"""
