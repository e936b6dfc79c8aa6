"""The rooms whose modules are changed: folders and files, from the root."""

__all__ = ["ROOMS"]

_POOLS, _LOGS = "llm_check/logs/pools", "llm_check/logs"

ROOMS = {
    "laws": (
        "gsi_theory/laws",
        "gsi_theory/rules",
        "gsi_theory/steps",
        "gsi_theory/limits.py",
        "gsi_theory/divergence.py",
    ),
    "claims": ("gsi_theory/claims",),
    "samples": ("gsi_theory/samples", "gsi_theory/estimate.py"),
    "planner": (f"{_LOGS}/planner",),
    "doctor": (
        f"{_POOLS}/balance.py",
        f"{_POOLS}/causes.py",
        f"{_POOLS}/diagnosis.py",
        f"{_POOLS}/evidence.py",
        f"{_POOLS}/findings.py",
        f"{_POOLS}/independence.py",
        f"{_POOLS}/log_prob_checks.py",
        f"{_POOLS}/prefix_counts.py",
        f"{_POOLS}/ratio.py",
        f"{_POOLS}/self_checks.py",
        f"{_POOLS}/step_coverage.py",
        f"{_POOLS}/supports.py",
        f"{_POOLS}/tails.py",
        f"{_POOLS}/tokens.py",
        f"{_POOLS}/verdict.py",
    ),
    "pools": (
        f"{_POOLS}/checked_rows.py",
        f"{_POOLS}/missing_values.py",
        f"{_POOLS}/pool.py",
        f"{_POOLS}/pool_files.py",
        f"{_POOLS}/position_arrays.py",
        f"{_POOLS}/prefixes.py",
        f"{_POOLS}/row_checks.py",
        f"{_LOGS}/formats/log_import.py",
        f"{_LOGS}/prediction.py",
    ),
}
