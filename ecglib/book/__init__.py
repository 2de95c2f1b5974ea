"""The notebooks as a whole: running them, and what the pages say of them.

- `cli`: the command `ecglib`; `own`: its commands on recordings of one's own
- `parameters`: the parameters of notebooks under a profile, checked; `values`: which values make sense
- `doctor`: what a machine has, and what to do about what it lacks
- `train`: `ecglib train`, the trainings of notebooks apart from these
- `driver`: runs notebooks headless under a profile; `execute`: one of them, in a process of its own
- `evidence`: `ecglib store pack`
- `story`: the first screen of the README, in English and Korean
- `best`: the best on each task
- `readme`: the generated parts of README, RESULTS and docs/map
"""
