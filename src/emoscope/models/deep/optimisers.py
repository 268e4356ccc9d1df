"""The optimisers of the published code, which differ from PyTorch's in small print."""

from __future__ import annotations

from typing import Any

import torch


class TensorFlowRMSprop(torch.optim.Optimizer):
    """RMSprop as TensorFlow 1 had it: running mean square from 1, epsilon under the root."""

    def __init__(self, params: Any, lr: float, rho: float = 0.9, eps: float = 1e-10) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move each weight by ``lr * g / sqrt(mean(g^2) + eps)``."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["mean_square"] = torch.ones_like(weight)
                mean_square = state["mean_square"]
                mean_square.mul_(group["rho"])
                mean_square.addcmul_(weight.grad, weight.grad, value=1 - group["rho"])
                root = mean_square.add(group["eps"]).sqrt_()
                weight.addcdiv_(weight.grad, root, value=-group["lr"])


OPTIMISERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    # Keras: running mean square from 0, epsilon 1e-7 outside the root
    "keras-rmsprop": (torch.optim.RMSprop, {"alpha": 0.9, "eps": 1e-7}),
    "tensorflow-rmsprop": (TensorFlowRMSprop, {}),
    # TensorFlow: sums of squares from 0.1, no epsilon
    "tensorflow-adagrad": (
        torch.optim.Adagrad,
        {"initial_accumulator_value": 0.1, "eps": 0.0},
    ),
    "adam": (torch.optim.Adam, {"eps": 1e-8, "fused": True}),
    "adamw": (torch.optim.AdamW, {"fused": True}),
}
