from gsi_theory.rules.table import RULES, is_rule, rule_named, rule_names, rules_and_gates

print(rule_names())
print(rule_named("regularized:4").name, is_rule("softmax"), is_rule("sofmax"))
print([(name, gate) for name, gate in rules_and_gates() if gate == "score"], len(RULES))
