"""The notebooks as a whole: running them, and what the README says of them.

- `cli`: the command `ecglib`
- `parameters`: the parameters of notebooks under a profile, checked
- `train`: `ecglib train`, the trainings of notebooks apart from these
- `driver`: runs notebooks headless under a profile
- `evidence`: `ecglib store pack`
- `readme`: the generated parts of README.md, RESULTS.md and CONTRIBUTING.md
"""
