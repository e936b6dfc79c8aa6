"""What a driver speaks, in the peer's environment: no import of the project.

Standard input: {"cases": [{"id", "driver", "settings", "draws", "seed"}, …]}. Standard output, a line a case: {"id",
"outcomes": [int, …]} or {"id", "error"}; what the peer prints goes to standard error.
"""

import json
import random
import sys
import traceback


def serve(functions):
    """functions: name -> function of settings that returns a function without arguments to an outcome, an int."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for case in json.load(sys.stdin)["cases"]:
        random.seed(case["seed"])
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(case["seed"])
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(case["seed"])
        try:
            draw = functions[case["driver"]](**case["settings"])
            answer = {"id": case["id"], "outcomes": [int(draw()) for _ in range(case["draws"])]}
        except Exception as error:
            traceback.print_exc()
            answer = {"id": case["id"], "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def pick(probabilities):
    """An index by probabilities, from Python's generator (the peers seed NumPy's and torch's themselves)."""
    return random.choices(range(len(probabilities)), weights=probabilities)[0]
