"""R2's diagrams drawn by code."""

from matplotlib.figure import Figure

from ecglib.show.diagrams import DATA, LEARNED, LOSS, NOTE, arrow, box, canvas


def simclr_diagram(sizes: dict[str, tuple[int, ...]]) -> Figure:
    """R2 figure 3: two views of one beat pass through base encoder f and projection head g to the contrastive loss.

    `sizes` has the shapes of "x", "h" and "z" without the batch axis, as the networks give them.
    """
    figure, axis = canvas(11, 3.2)
    shape = {name: f"({', '.join(str(side) for side in size)})" for name, size in sizes.items()}
    box(axis, 0.8, 1.45, f"beat x\n{shape['x']}", DATA, 1.1)
    for y, view in ((2.35, "i"), (0.55, "j")):
        box(axis, 3.1, y, f"view $x_{view}$\n{shape['x']}", DATA, 1.3)
        box(axis, 5.0, y, f"$h_{view}$ {shape['h']}", DATA, 1.25, 0.6)
        box(axis, 7.0, y, f"$z_{view}$ {shape['z']}", DATA, 1.25, 0.6)
        side = 1 if y > 1.45 else -1
        arrow(axis, (1.38, 1.45 + 0.2 * side), (2.42, y - 0.1 * side))
        arrow(axis, (3.78, y), (4.35, y), "f")
        arrow(axis, (5.66, y), (6.35, y), "g")
        arrow(axis, (7.66, y - 0.1 * side), (8.33, 1.45 + 0.25 * side))
    axis.text(2.05, 1.45, "random\naugmentations", **NOTE)
    axis.text(5.0, 1.45, "the same base encoder f\nand projection head g\nfor both views", **NOTE)
    box(axis, 9.4, 1.45, "NT-Xent: $z_i$ and $z_j$ alike,\nboth unlike the views\nof all other beats", LOSS, 2.05, 1.1)
    return figure


def scenario_diagram() -> Figure:
    """Where R2 adds contrast to the network of its figure 2: to D (scenario 1) and to the loss of G (scenario 2)."""
    figure, axis = canvas(11, 4.3)
    box(axis, 0.9, 2.1, "beat x", DATA, 1.1)
    box(axis, 0.9, 3.6, "two views\nof x", DATA, 1.1)
    box(axis, 0.9, 0.6, "two views\nof x", DATA, 1.1)
    box(axis, 3.1, 2.8, "student $G_E$", LEARNED, 1.3, 0.7)
    box(axis, 4.7, 2.8, "z", DATA, 0.6, 0.6)
    box(axis, 6.1, 2.8, "student $G_D$", LEARNED, 1.3, 0.7)
    box(axis, 4.4, 1.4, "student's D: features $f_D$", LEARNED, 2.2, 0.7)
    box(axis, 8.6, 2.75, "L = $L_G$ + $L_{KD}$", LOSS, 2.1, 0.6)
    box(axis, 8.6, 1.45, "BCE: real or reconstructed?", LOSS, 2.1, 0.6)
    box(axis, 8.6, 3.9, "scenario 2:  + γ NT-Xent(g(z))", "#d9ead3", 2.6, 0.6)
    box(axis, 8.6, 0.3, "scenario 1:  + γ NT-Xent(g($f_D$))", "#d9ead3", 2.6, 0.6)
    for start, end in (
        ((1.48, 2.25), (2.42, 2.65)),
        ((3.78, 2.8), (4.37, 2.8)),
        ((5.03, 2.8), (5.42, 2.8)),
        ((6.78, 2.8), (7.52, 2.77)),
        ((1.48, 1.95), (3.27, 1.5)),
        ((5.53, 1.4), (7.52, 1.45)),
    ):
        arrow(axis, start, end)
    arrow(axis, (1.48, 3.6), (2.6, 3.18), bend=-0.15)
    arrow(axis, (4.75, 3.13), (7.27, 3.9), bend=-0.15)
    arrow(axis, (1.48, 0.6), (3.6, 1.02), bend=0.15)
    arrow(axis, (5.0, 1.02), (7.27, 0.3), bend=0.15)
    arrow(axis, (6.1, 2.42), (5.4, 1.78), bend=0.1)
    axis.text(6.1, 2.02, "x'", fontsize=8.5, ha="center")
    return figure
