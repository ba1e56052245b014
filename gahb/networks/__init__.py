"""Bias-free networks that map noisy images to their residual.

``UNet`` and ``BFCNN`` are the paper's two architectures; ``from_released`` reads the weights
that its authors released; ``receptive_field`` measures how far a network sees.
"""

from gahb.networks.architectures import BFCNN, UNet, receptive_field
from gahb.networks.released import from_released

__all__ = ["BFCNN", "UNet", "from_released", "receptive_field"]
