"""One engine for every training, whatever is trained.

- `loop`: the epoch loop with seeds, history, checkpoint and best weights
- `obtain`: `obtain(config, data, store)` is the one way to a finished run: loaded, resumed or trained
- `grid`: arms with several seeds, trained parents first
- `pool`, `cluster`: many trainings side by side, on this machine or by dask; `workers`: what both do in a process
- `store`: what is kept of a run, in its own folder or in the bundle of a profile
- `formats`: the files of the store

A config (`core.config.Checked`) says what decides a run; its method `train(data, loop)` is the chapter's own.
"""
