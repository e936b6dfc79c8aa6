from gsi_theory import Instance, Scheme
from gsi_theory.claims import CLAIMS, Outcome

instance = Instance.from_probabilities(draft=[0.5, 0.3, 0.2], base=[0.2, 0.3, 0.5], reward=[0.1, 0.6, 0.9])
scheme = Scheme(beta=5.0, n=4, threshold=0.5)
claim = CLAIMS["M11-chi2"]
print(claim.statement, "|", claim.source)
verdict = claim.evaluate(instance, scheme)
print(verdict.outcome, verdict.lhs, "≤", verdict.rhs)

refuted = [name for name, each in CLAIMS.items() if each.evaluate(instance, scheme).outcome is Outcome.REFUTED]
print(refuted)  # readings in circulation that fail on this very instance
assert all(CLAIMS[name].expected is Outcome.REFUTED for name in refuted)
