import dspy

attempts = iter(["fails", "fails", "fails"])


class Sometimes(dspy.Module):
    def __init__(self):
        super().__init__()
        self.predict = dspy.Predict("question -> answer")

    def forward(self, question):
        if next(attempts) == "fails":
            raise RuntimeError("no answer")
        return dspy.Prediction(answer="x")


dspy.configure(lm=dspy.utils.DummyLM([]))
best = dspy.BestOfN(Sometimes(), N=3, reward_fn=lambda args, pred: 0.0, threshold=1.0, fail_count=0)
try:
    print("returned", best(question="?"))
except RuntimeError as error:
    print("raised", error)
