"""R1's diagrams, drawn by code."""

from matplotlib.figure import Figure

from ecglib.show.diagrams import DATA, FROZEN, LEARNED, LOSS, arrow, box, canvas


def beatgan_diagram(parameters: dict[str, int]) -> Figure:
    """Figure 1: G, D and the two terms of equation 1, with the `parameters` of "generator" and "discriminator"."""
    figure, axis = canvas(11, 3.6)
    box(axis, 0.9, 2.6, "beat x\n(1, 320)", DATA, 1.2)
    box(axis, 2.9, 2.6, "encoder $G_E$\n6 convolutions", LEARNED)
    box(axis, 4.7, 2.6, "z\n(50, 1)", DATA, 0.9)
    box(axis, 6.5, 2.6, "decoder $G_D$\n6 transposed convs", LEARNED, 1.7)
    box(axis, 8.5, 2.6, "x'\n(1, 320)", DATA, 1.1)
    box(axis, 4.7, 0.8, "discriminator D\nfeatures $f_D$ (512, 10)", LEARNED, 2.2)
    box(axis, 7.7, 0.8, "real or reconstructed?\nBCE", LOSS, 1.9)
    box(axis, 10.1, 1.7, "$L_G$: MSE(x', x)\n+ λ MSE($f_D$(x'), $f_D$(x))", LOSS, 1.75, 0.9)
    for start, end in (
        ((1.5, 2.6), (2.12, 2.6)), ((3.68, 2.6), (4.22, 2.6)),
        ((5.18, 2.6), (5.62, 2.6)), ((7.38, 2.6), (7.92, 2.6)),
    ):  # fmt: skip
        arrow(axis, start, end)
    arrow(axis, (0.9, 2.17), (3.57, 0.9), bend=0.2)
    arrow(axis, (8.5, 2.17), (5.83, 1.05), bend=-0.1)
    arrow(axis, (5.83, 0.8), (6.72, 0.8))
    arrow(axis, (9.08, 2.6), (10.1, 2.18), bend=-0.2)
    arrow(axis, (5.4, 0.37), (10.1, 1.22), bend=0.34)
    axis.set_title(
        f"BeatGAN: generator {parameters['generator']:,} parameters, discriminator {parameters['discriminator']:,}",
        fontsize=11,
    )
    return figure


def layer_diagram(decoder: list[tuple[str, str]], encoder: list[tuple[str, str]]) -> Figure:
    """Figures 2 and 3: decoder and encoder as the (layer, output shape) pairs that `networks.layer_shapes` gives."""
    steps = max(len(decoder), len(encoder))
    figure, axis = canvas(1.62 * steps + 0.2, 3.4)
    for y, title, chain in ((2.35, "encoder $G_E$ (figure 3)", encoder), (0.75, "decoder $G_D$ (figure 2)", decoder)):
        axis.text(0.1, y + 0.72, title, fontsize=10, va="center", weight="bold")
        for position, (layer, shape) in enumerate(chain):
            x = 0.85 + 1.62 * position
            box(axis, x, y, f"{layer}\n{shape}", DATA if position == 0 else LEARNED, 1.32, 1.0)
            if position:
                arrow(axis, (x - 0.93, y), (x - 0.7, y))
    return figure


def loss_diagram() -> Figure:
    """Figure 4: the terms of the student's loss and what each compares (equations 1 to 3)."""
    figure, axis = canvas(11, 3.7)
    box(axis, 1.1, 2.9, "beat x", DATA, 1.5)
    box(axis, 1.1, 1.7, "x' of the student", DATA, 1.5)
    box(axis, 1.1, 0.5, "x' of the teacher", FROZEN, 1.5)
    box(axis, 4.6, 3.0, "reconstruction\nMSE(x', x)", LOSS, 2.4, 0.75)
    box(axis, 4.6, 1.75, "feature matching by D\nMSE($f_D$(x'), $f_D$(x))", LOSS, 2.4, 0.75)
    box(axis, 4.6, 0.5, "distillation $L_{KD}$ (equation 2)\nKL of softmax(scores / T)", LOSS, 2.4, 0.75)
    box(axis, 7.9, 2.4, "$L_G$ (equation 1)", LOSS, 1.6, 0.7)
    box(axis, 10.1, 1.6, "L = $L_G$ + $L_{KD}$\n(equation 3)", LOSS, 1.45, 0.9)
    for start, end in (
        ((1.88, 2.95), (3.37, 3.05)), ((1.88, 2.8), (3.37, 1.95)), ((1.88, 1.85), (3.37, 2.85)),
        ((1.88, 1.7), (3.37, 1.75)), ((1.88, 1.5), (3.37, 0.65)), ((1.88, 0.45), (3.37, 0.45)),
        ((5.83, 2.95), (7.07, 2.5)), ((5.83, 1.8), (7.07, 2.3)), ((8.73, 2.3), (9.34, 1.85)),
    ):  # fmt: skip
        arrow(axis, start, end)
    arrow(axis, (5.83, 0.5), (9.34, 1.3), "in R1's program a constant: no gradient", bend=0.12)
    return figure


def distillation_diagram() -> Figure:
    """Figure 5: a frozen teacher and a student, which has a discriminator of its own."""
    figure, axis = canvas(11, 4)
    box(axis, 0.9, 2.0, "beat x", DATA, 1.1)
    box(axis, 3, 3.2, "teacher G\n(trained, frozen)", FROZEN, 1.8)
    box(axis, 3, 1.6, "student G", LEARNED, 1.8)
    box(axis, 5.2, 3.2, "x' of the teacher", FROZEN)
    box(axis, 5.2, 1.6, "x' of the student", DATA)
    box(axis, 5.2, 0.3, "student's D", LEARNED)
    box(axis, 7.6, 3.2, "$L_{KD}$: KL of softmax(scores / T)", LOSS, 2.5, 0.6)
    box(axis, 7.6, 1.6, "MSE(x', x)", LOSS, 2.5, 0.6)
    box(axis, 7.6, 0.3, "feature matching", LOSS, 2.5, 0.6)
    box(axis, 10.2, 1.9, "L = $L_G$ + $L_{KD}$\nmoves the\nstudent G only", LOSS, 1.35, 1.1)
    for start, end in (
        ((1.48, 2.2), (2.07, 3.0)), ((1.48, 1.85), (2.07, 1.65)), ((3.93, 3.2), (4.42, 3.2)),
        ((3.93, 1.6), (4.42, 1.6)), ((5.98, 3.2), (6.32, 3.2)), ((5.98, 1.85), (6.32, 2.85)),
        ((5.98, 1.6), (6.32, 1.6)), ((5.2, 1.17), (5.2, 0.73)), ((5.98, 0.3), (6.32, 0.3)),
        ((8.88, 3.1), (9.5, 2.3)), ((8.88, 1.65), (9.49, 1.85)), ((8.88, 0.45), (9.5, 1.4)),
    ):  # fmt: skip
        arrow(axis, start, end)
    arrow(axis, (0.9, 1.57), (4.42, 0.25), bend=0.2)
    return figure
