"""One function a figure; each takes arrays and returns the Figure."""

from ecglib.plots.anomaly import (
    class_auc,
    error_profiles,
    heat_strips,
    reconstructions,
    roc_and_pr,
    score_histograms,
    training_curves,
)
from ecglib.plots.data import (
    ages,
    beat_steps,
    class_gallery,
    filter_strip,
    label_counts,
    record_map,
    shared_patients,
    twelve_leads,
)
from ecglib.plots.diagrams import beatgan_diagram, distillation_diagram, layer_diagram, loss_diagram
from ecglib.plots.distillation import (
    arm_forest,
    difference_forest,
    figure9,
    pulls,
    roc_bands,
    soft_targets,
    width_curve,
)
from ecglib.plots.style import save, use_style

__all__ = [
    "ages",
    "arm_forest",
    "beat_steps",
    "beatgan_diagram",
    "class_auc",
    "class_gallery",
    "difference_forest",
    "distillation_diagram",
    "error_profiles",
    "figure9",
    "filter_strip",
    "heat_strips",
    "label_counts",
    "layer_diagram",
    "loss_diagram",
    "pulls",
    "reconstructions",
    "record_map",
    "roc_and_pr",
    "roc_bands",
    "save",
    "score_histograms",
    "shared_patients",
    "soft_targets",
    "training_curves",
    "twelve_leads",
    "use_style",
    "width_curve",
]
