"""SimCLR's loss (Chen et al. 2020; report R2, section 3.3.2)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """NT-Xent (Chen et al. 2020, equation 1): which of 2N views belong together? A scalar comes back.

    l(i, j) = -log exp(sim(z_i, z_j) / tau) / sum over k != i of exp(sim(z_i, z_k) / tau), sim the cosine, averaged over
    all 2N views.

        loss = nt_xent(head(encoder(random_view(x))), head(encoder(random_view(x))), temperature=0.1)

    Args:
        first: (N, d) a view of each of N beats.
        second: (N, d) another view of each; row n of both is beat n.
        temperature: tau; the smaller, the more the hardest negatives count.
    """
    z = F.normalize(torch.cat([first, second]), dim=1)  # (2N, d)
    similarity = z @ z.T / temperature  # (2N, 2N)
    similarity.fill_diagonal_(float("-inf"))  # a view is not its own negative
    partner = (torch.arange(len(z), device=z.device) + len(first)) % len(z)
    return F.cross_entropy(similarity, partner)
