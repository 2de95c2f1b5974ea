"""SimCLR's loss (Chen et al. 2020; report R2, section 3.3.2)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ecglib.core.errors import EcglibError


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """NT-Xent (Chen et al. 2020, equation 1) of two views (N, d) of each of N beats or records, a scalar.

    l(i, j) = -log exp(sim(z_i, z_j) / tau) / sum over k != i of exp(sim(z_i, z_k) / tau) is averaged over all 2N views,
    where sim is the cosine and j is the other view of the same one. The smaller `temperature` (tau) is, the more the
    hardest negatives count.

        loss = nt_xent(head(encoder(random_view(x))), head(encoder(random_view(x))), temperature=0.1)

    Raises:
        EcglibError: the views are not two equal shapes (N, d), or the temperature is not above 0.
    """
    floats = first.is_floating_point() and second.is_floating_point()
    if first.shape != second.shape or first.ndim != 2 or len(first) == 0 or not floats:
        raise EcglibError(
            f"The views are {tuple(first.shape)} and {tuple(second.shape)}: give two of one shape (N, d), of floats."
        )
    if not 0 < temperature < float("inf"):
        raise EcglibError(f"temperature={temperature}: a similarity is divided by it, so it must be above 0.")
    z = F.normalize(torch.cat([first, second]), dim=1)  # (2N, d)
    similarity = z @ z.T / temperature  # (2N, 2N)
    similarity.fill_diagonal_(float("-inf"))  # a view is not its own negative
    partner = (torch.arange(len(z), device=z.device) + len(first)) % len(z)
    return F.cross_entropy(similarity, partner)
