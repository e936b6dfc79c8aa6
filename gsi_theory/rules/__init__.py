"""How each rule's law is computed: softmax, race, max; `gsi_theory.law` is the way in."""
