import dspy

attempts = iter(["fails", "good", "good"] * 9)


class Sometimes(dspy.Module):
    def __init__(self):
        super().__init__()
        self.predict = dspy.Predict("question -> answer")

    def forward(self, question):
        if next(attempts) == "fails":
            raise RuntimeError("no answer")
        return dspy.Prediction(answer="x")


dspy.configure(lm=dspy.utils.DummyLM([]))
best = dspy.BestOfN(Sometimes(), N=3, reward_fn=lambda args, pred: 0.0, threshold=1.0)
for call in range(1, 10):
    try:
        best(question="?")
    except RuntimeError as error:
        print(f"call {call}, with one failure like those before, raised: {error}")
        break
