"""Where R3's 51.4 % after pruning can come from: labels beside another record's signal, or in another class's column.

R3's program deleted the records without a superclass from the signals by their number, which counts from one, and from
the labels by their position, which counts from zero; and it took the order of the labels from an unordered set.
Everywhere targets are (N, C) of 0 and 1, scores (N, C), and `share` is that of wrong pairs.
"""

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from ecglib import reports
from ecglib.classifier import training
from ecglib.data import ptbxl
from ecglib.data.ptbxl import SUPERCLASSES, Records, Scaler
from ecglib.stats import metrics
from ecglib.stats.multilabel import macro_auc


def signals_beside(labelled: np.ndarray, one_by_one: bool) -> np.ndarray:
    """Positions (M,) of the signals that the program left beside the M labels, if records are numbered without a gap.

    They were in version 1.0.1, which R3's program read; 1.0.3 has gaps. `labelled` (N,) says which records have a
    label. `one_by_one` makes each deletion shorten what the next one counts in; otherwise all are deleted at once.
    """
    kept = np.arange(len(labelled))
    numbers = np.flatnonzero(~labelled) + 1
    groups = numbers.reshape(-1, 1) if one_by_one else [numbers]
    for group in groups:
        kept = np.delete(kept, group[group < len(kept)])
    return kept[: labelled.sum()]


def mispaired(scores: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Scores of which a share stands beside the labels of other records, drawn at random."""
    rng = np.random.default_rng(seed)
    moved = rng.permutation(len(scores))[: round(share * len(scores))]
    result = scores.copy()
    result[moved] = scores[np.roll(moved, 1)]
    return result


def auc_mispaired(targets: np.ndarray, scores: np.ndarray, share: float, draws: int = 100) -> np.ndarray:
    """Macro-AUC if a share of the pairs is wrong, for each of several random choices: (draws,)."""
    return np.array([macro_auc(targets, mispaired(scores, share, seed)) for seed in range(draws)])


def auc_of_both(targets: np.ndarray, scores: np.ndarray, share: float, draws: int = 10) -> np.ndarray:
    """Macro-AUC if a share of the pairs is wrong and the labels are in a wrong order, too: (draws * (C! - 1),)."""
    return np.concatenate([auc_in_other_orders(targets, mispaired(scores, share, seed)) for seed in range(draws)])


def auc_in_other_orders(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Macro-AUC for every wrong order of the labels' columns: (C! - 1,)."""
    classes = range(targets.shape[1])
    pairs = np.array(
        [[metrics.auc(targets[:, label] == 1, scores[:, column]) for column in classes] for label in classes]
    )
    wrong = [order for order in permutations(classes) if order != tuple(classes)]
    return np.array([np.mean([pairs[label, column] for label, column in enumerate(order)]) for order in wrong])


Mistakes = dict[str, tuple[float, np.ndarray]]  # mistake -> share of wrong pairs, macro-AUC of each network and draw
IN_PLACE = "masked, labels in place"


def mistakes(
    networks: Sequence[nn.Module], scaler: Scaler, records: Records, members: np.ndarray, root: Path
) -> Mistakes:
    """What each mistake, and both together, leave of the macro-AUC of pruned networks, one a seed.

    `records` have a label each; `members` are the positions of R3's validation records among them. The index and the
    waveforms are in `root`.
    """
    here, whole = ptbxl.load_index(root, with_waveforms=True), ptbxl.load_index(root)
    labelled, all_labelled = (frame[list(SUPERCLASSES)].any(axis=1).to_numpy() for frame in (here, whole))
    truth = records.targets[members]

    def answers(positions: np.ndarray) -> list[np.ndarray]:
        x = torch.from_numpy(scaler(ptbxl.load_signals(root, here.iloc[positions])))
        return [training.predict(network, x).numpy() for network in networks]

    def aucs(found: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([macro_auc(truth, logits) for logits in found])

    own = answers(np.flatnonzero(labelled)[members])
    rows = {IN_PLACE: (0.0, aucs(own))}
    for name, one_by_one in (("deleted at once", False), ("deleted one by one", True)):
        beside = signals_beside(labelled, one_by_one)
        wrong = float((beside != np.flatnonzero(labelled)).mean())
        rows[f"signals slipped, {name}"] = (wrong, aucs(answers(beside[members])))
    share = float((signals_beside(all_labelled, one_by_one=True) != np.flatnonzero(all_labelled)).mean())
    drawn = [auc_mispaired(truth, logits, share) for logits in own]
    rows["as many wrong pairs as in the whole index, at random"] = (share, np.concatenate(drawn))
    drawn = [auc_in_other_orders(truth, logits) for logits in own]
    rows["labels in another order"] = (0.0, np.concatenate(drawn))
    drawn = [auc_of_both(truth, logits, share) for logits in own]
    rows["both, at random"] = (share, np.concatenate(drawn))
    return rows


def results(rows: Mistakes) -> pd.DataFrame:
    """`mistakes` as a table: what is left at most, at least and on average, and how often it is as little as R3's."""
    seeds = len(rows[IN_PLACE][1])
    published = reports.value("r3.pruned.auc") / 100
    frame = {
        name: {
            "share of wrong pairs": f"{wrong:.3f}",
            "macro-AUC, mean": f"{found.mean():.3f}",
            "lowest": f"{found.min():.3f}",
            "highest": f"{found.max():.3f}",
            "results": f"{len(found):,}",
            "seeds": str(seeds),
            f"of them at most R3's {published:.3f}": f"{(found <= published).mean():.0%}",
        }
        for name, (wrong, found) in rows.items()
    }
    return pd.DataFrame.from_dict(frame, orient="index").rename_axis("mistake")
