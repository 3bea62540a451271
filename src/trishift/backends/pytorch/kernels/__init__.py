"""What PyTorch alone has: layers of fused forms, each a kernel of oneDNN, cuDNN or our own, and folding in training."""
