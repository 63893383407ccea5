"""Networks: `(B, C, [D,] H, W)` in, logits `(B, K)` out."""
