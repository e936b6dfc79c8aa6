"""What a selection aims at, one record a target (M41); `gsi_theory.laws.target_law` is the way in."""
