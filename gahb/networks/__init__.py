"""Networks that map noisy images to their residual.

``UNet`` and ``BFCNN`` are the paper's two architectures, bias-free; ``Dense`` and ``Transformer``
have no convolutions; ``from_released`` reads the weights
that its authors released; ``receptive_field`` measures how far a network sees.
"""

from gahb.networks.architectures import BFCNN, Dense, Transformer, UNet, receptive_field
from gahb.networks.released import from_released

__all__ = ["BFCNN", "Dense", "Transformer", "UNet", "from_released", "receptive_field"]
