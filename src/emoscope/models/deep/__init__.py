"""The part of the neural models that needs PyTorch; imported when one is fitted or asked."""
