"""A model of Stage 2 (docs/log.md, 2026-11-22): how well two labels are told apart before and after GRPO.

A phrase means one of two labels; the score of label 1 is the phrase's own weight plus twice a weight that all share. Stage 1 is supervised, Stage 2
asks hard phrases (answered wrong) and as many easy ones times a decaying ratio, or everything (`raw`). Needs numpy: python3 docs/one_label_takes_all.py
"""
import numpy as np

SHARED, GROUP, BATCH, DRAWS = 2.0, 8, 8, 60


def draw(rng, phrases, count):
    """Questions: phrase and label; later phrases of a label are rarer."""
    weight = 1 / np.sqrt(np.arange(1, phrases + 1))
    label = rng.integers(0, 2, count)
    return label * phrases + rng.choice(phrases, count, p=weight / weight.sum()), label


def run(seed, phrases, taught, rate, strategy, epochs=2, asked=150):
    rng = np.random.default_rng(seed)
    own, shared = np.zeros(2 * phrases), rng.normal() * 0.3
    score = lambda phrase: own[phrase] + SHARED * shared
    right = lambda questions: (score(questions[0]) > 0) == questions[1]
    phrase, label = draw(rng, phrases, taught)
    for _ in range(2):
        for i in rng.permutation(taught):
            error = label[i] - 1 / (1 + np.exp(-score(phrase[i])))
            own[phrase[i]] += error
            shared += SHARED * error
    test = draw(rng, phrases, 3000)
    before = right(test).mean()
    phrase, label = draw(rng, phrases, asked)
    ok = right((phrase, label))
    hard, easy = np.flatnonzero(~ok), np.flatnonzero(ok)
    order = []
    for epoch in range(1 if strategy == "raw" else epochs):
        count = len(easy) if strategy == "raw" else int(len(hard) * 0.5**(epoch + 1))  # every other easy one has a relation
        questions = np.concatenate([hard, rng.choice(easy, min(count, len(easy)), replace=False)])
        rng.shuffle(questions)
        order.extend(questions)
    for start in range(0, len(order), BATCH):
        step, shift = np.zeros_like(own), 0.0
        for i in order[start:start + BATCH]:
            p = 1 / (1 + np.exp(-score(phrase[i])))
            answers = rng.random(GROUP) < p
            reward = (answers == label[i]).astype(float)
            if reward.std() > 0:
                advantage = (reward - reward.mean()) / (reward.std(ddof=1) + 1e-4)
                slope = (advantage * (answers - p)).mean()
                step[phrase[i]] += slope
                shift += SHARED * slope
        decay = rate * (1 - start / len(order))
        own += decay * step
        shared += decay * shift
    return before, right(test).mean()


print("phrases taught strategy     rate  before  after  worse in")
for phrases, taught in [(20, 50), (6, 12)]:
    for strategy, rates in [("progressive", [0.01, 0.03, 0.1, 0.3]), ("raw", [0.1, 0.3])]:
        for rate in rates:
            draws = np.array([run(seed, phrases, taught, rate, strategy) for seed in range(DRAWS)])
            before, after = draws.mean(0)
            worse = (draws[:, 1] < draws[:, 0]).mean()
            print(f"{phrases:7} {taught:6} {strategy:11} {rate:5}  {before:6.3f} {after:6.3f}  {worse:8.2f}")
