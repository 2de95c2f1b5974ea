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
from ecglib.plots.contrast import (
    detector_ladder,
    embeddings,
    pair_similarities,
    similarity_matrices,
    views,
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
from ecglib.plots.diagrams import (
    beatgan_diagram,
    distillation_diagram,
    layer_diagram,
    loss_diagram,
    scenario_diagram,
    simclr_diagram,
)
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
    "detector_ladder",
    "difference_forest",
    "distillation_diagram",
    "embeddings",
    "error_profiles",
    "figure9",
    "filter_strip",
    "heat_strips",
    "label_counts",
    "layer_diagram",
    "loss_diagram",
    "pair_similarities",
    "pulls",
    "reconstructions",
    "record_map",
    "roc_and_pr",
    "roc_bands",
    "save",
    "scenario_diagram",
    "score_histograms",
    "shared_patients",
    "simclr_diagram",
    "similarity_matrices",
    "soft_targets",
    "training_curves",
    "twelve_leads",
    "use_style",
    "views",
    "width_curve",
]
