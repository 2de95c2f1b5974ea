"""What may be attached to the training loop: a progress bar, a checkpoint, figures as it goes."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ecglib.runs import snapshot

if TYPE_CHECKING:
    from ecglib.beatgan.training import Hyperparameters, State


class Progress:
    """A bar over the epochs with the validation AUC and the reconstruction error of normal beats."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.bar: tqdm | None = None

    def __call__(self, state: "State", settings: "Hyperparameters") -> None:
        if self.bar is None:
            self.bar = tqdm(total=settings.epochs, initial=state.epoch - 1, desc=self.label, unit="epoch")
        last = state.history[-1]
        self.bar.set_postfix(auc=f"{last['auc_eval_mode']:.3f}", error=f"{last['error_normal']:.4f}", refresh=False)
        self.bar.update()
        if state.epoch == settings.epochs:
            self.bar.close()


class OneBar:
    """Advances a bar that several trainings share by an epoch, with what is trained and its validation AUC."""

    def __init__(self, bar: tqdm, label: str) -> None:
        self.bar, self.label = bar, label

    def __call__(self, state: "State", settings: "Hyperparameters") -> None:
        self.bar.set_postfix_str(f"{self.label}, auc={state.history[-1]['auc_eval_mode']:.3f}", refresh=False)
        self.bar.update()


class Checkpoint:
    """The whole state in one safetensors file after every epoch: a killed training loses at most one epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, state: "State", settings: "Hyperparameters") -> None:
        snapshot.write(self.path, *snapshot.pack(state))

    def restore(self, state: "State") -> "State":
        """Continue from the file where there is one.

        Raises:
            EcglibError: the file is not a checkpoint of these networks.
        """
        if not self.path.exists():
            return state
        with snapshot.reading(self.path):
            return snapshot.unpack(state, *snapshot.read(self.path))


class PairFigures:
    """R1 figure 11 as training goes: inputs and their reconstructions, one PNG an epoch.

    Args:
        folder: gets `epoch_000.png` and so on.
        x: (n, C, 320) a few beats in [-1, 1], on the device of the networks.
        labels: a title for each.
    """

    def __init__(self, folder: Path, x: Tensor, labels: list[str]) -> None:
        self.folder, self.x, self.labels = folder, x, labels

    @torch.no_grad()
    def __call__(self, state: "State", settings: "Hyperparameters") -> None:
        from ecglib.beatgan import figures
        from ecglib.show import style  # here: training runs where matplotlib is absent

        state.generator.eval()
        x_hat, _ = state.generator(self.x)
        state.generator.train()
        figure = figures.reconstructions(self.x[:, 0].cpu().numpy(), x_hat[:, 0].cpu().numpy(), self.labels)
        style.save(figure, self.folder / f"epoch_{state.epoch - 1:03d}.png")
