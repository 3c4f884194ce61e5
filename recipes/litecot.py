"""`pipelines/litecot.yaml` as a Python chain: prune long reasoning by difficulty (arXiv 2505.19716).

Run: python recipes/litecot.py
"""

import curator as cu

teacher = cu.engine("pocket", alias="teacher")  # or cu.engine("openai", model=..., base_url=...)

litecot = cu.Pipeline(name="litecot") | (
    cu.read("builtin:pocket")
    | cu.dedup(on="problem")
    | cu.decontaminate(against="builtin:pocket-eval")
    | cu.generate(engine=teacher, n=4)
    | cu.verify()
    | cu.grade()
    | cu.select(where="correct", best="n_tokens", per="problem_id")
    | cu.compress(engine=teacher)
    | cu.export(to="trl")
)

if __name__ == "__main__":
    print(litecot.run("runs/litecot"))
