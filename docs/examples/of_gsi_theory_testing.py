from hypothesis import given, settings

from gsi_theory import Instance, Scheme, gsi_law
from gsi_theory.testing import check_claim, instances, schemes


@settings(max_examples=20, deadline=None)
@given(instances(max_size=4), schemes())
def test_my_bound(instance: Instance, scheme: Scheme) -> None:
    law = gsi_law(instance, scheme)
    assert law.expectation(instance.reward) <= instance.reward.max() + 1e-9


@settings(max_examples=20, deadline=None)
@given(instances(zeros=True), schemes())
def test_published_bound(instance: Instance, scheme: Scheme) -> None:
    check_claim("M11-chi2", instance, scheme)


test_my_bound()
test_published_bound()
