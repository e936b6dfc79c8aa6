"""Does a sampler sample what it says? Toy problems, known mistakes and the sequential test of `gsi conform` (M50)."""
