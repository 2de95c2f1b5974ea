"""What everything else stands on, and what reads no ECG.

- `errors`: the one exception that a user is meant to read, and the one warning
- `files`: writing files so that an interruption leaves nothing half written; where results go
- `config`: frozen, checked settings and the digest that is a run's id
- `seeds`: the one function that seeds everything
- `precision`: training with hidden layers in bfloat16
- `device`: choosing a device, and the facts about a machine that a run records; `processors`: how many trainings it
  does side by side
- `compiled`, `cuda_graph`, `convolution`: the same trainings faster on a GPU, and on a CPU
- `graph`: a network as an ONNX graph
- `cost`: parameters of a network, time of a call
- `profiles`: what each profile sets in each notebook
- `extras`: optional packages
"""
