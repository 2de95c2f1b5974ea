"""A training as named tensors and JSON-ready facts in one safetensors file: what a checkpoint holds."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ecglib.beatgan.training import Best, State
from ecglib.core.errors import EcglibError
from ecglib.runs.store import write_tensors

Tensors = dict[str, Tensor]
# A network under its name, with its optimizer where it has one of its own.
Part = tuple[str, nn.Module, torch.optim.Optimizer | None]


def pack(state: State) -> tuple[Tensors, dict[str, Any]]:
    """A state as named tensors and JSON-ready facts; `unpack` is the inverse."""
    tensors = pack_parts(_parts(state))
    for rule, best in state.best.items():
        tensors |= {f"best_{rule}.{key}": tensor for key, tensor in best.weights.items()}
    best_facts = {rule: [best.epoch, best.criterion] for rule, best in state.best.items()}
    return tensors, {"epoch": state.epoch, "history": state.history, "best": best_facts}


def unpack(state: State, tensors: Tensors, facts: dict[str, Any]) -> State:
    """Restore what `pack` gave into a new state of the same configuration."""
    unpack_parts(_parts(state), tensors)
    state.epoch, state.history = facts["epoch"], facts["history"]
    state.best = {
        rule: Best(epoch, criterion, _under(f"best_{rule}.", tensors))
        for rule, (epoch, criterion) in facts["best"].items()
    }
    return state


def pack_parts(parts: Sequence[Part]) -> Tensors:
    """Weights, running statistics and the optimizers' moments."""
    tensors: Tensors = {}
    for name, model, optimizer in parts:
        tensors |= {f"{name}.{key}": tensor for key, tensor in model.state_dict().items()}
        if optimizer is None:
            continue
        for position, moments in optimizer.state_dict()["state"].items():
            kept = {key: tensor for key, tensor in moments.items() if tensor is not None}  # SGD's momentum may be None
            tensors |= {f"{name}_optimizer.{position}.{key}": tensor for key, tensor in kept.items()}
    return tensors


def unpack_parts(parts: Sequence[Part], tensors: Tensors) -> None:
    """Restore what `pack_parts` gave into new networks and optimizers."""
    for name, model, optimizer in parts:
        model.load_state_dict(_under(f"{name}.", tensors))
        if optimizer is None:
            continue
        moments: dict[int, Tensors] = {}
        for key, tensor in _under(f"{name}_optimizer.", tensors).items():
            position, moment = key.split(".")
            moments.setdefault(int(position), {})[moment] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})


def write(path: Path, tensors: Tensors, facts: dict[str, Any]) -> None:
    """Write both into one file, atomically."""
    # Two rules can prefer the same epoch, but safetensors refuses two names for one memory.
    apart = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_tensors(path, apart, {"facts": json.dumps(facts)})


def read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """What `write` wrote."""
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
        return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - not a dict


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say what to do about a checkpoint that cannot be read, or that is not one of these networks.

    Raises:
        EcglibError: in place of whatever reading it raised; a machine's troubles are not the checkpoint's.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except OSError as error:
        raise EcglibError(f"Checkpoint {path} cannot be read ({error.strerror or error}): try again.") from error
    except (SafetensorError, ValueError, KeyError, RuntimeError, TypeError) as error:
        if "allocate memory" in str(error) or "CUDA error" in str(error):
            raise
        raise EcglibError(f"Checkpoint {path} is damaged ({error}): delete it and train again.") from error


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _parts(state: State) -> list[Part]:
    parts: list[Part] = [
        ("generator", state.generator, state.generator_optimizer),
        ("discriminator", state.discriminator, state.discriminator_optimizer),
    ]
    parts += [(f"head_{place}", head, None) for place, head in state.heads.items()]
    return parts if state.average is None else [*parts, ("average", state.average, None)]
