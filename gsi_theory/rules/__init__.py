"""How each rule's law is computed: softmax, race, max; `gsi_theory.laws.selection_law` is the way in."""
