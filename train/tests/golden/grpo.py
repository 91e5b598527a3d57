"""Writes grpo.json: GRPO's objective in float64 with plain Python, the reference for `train/src/grpo`.

    python3 train/tests/golden/grpo.py > train/tests/golden/grpo.json

Written from the papers alone (arXiv 2402.03300, equations 1 and 3; k3 after Schulman; arXiv 2503.20783 for dr_grpo): one answer after
another, one token after another, derivatives by dual numbers. Standard library only; the same file for the same Python.
"""

import json
import math
import random
import statistics


class Dual:
    """A number and its derivative with respect to one chosen input."""

    def __init__(self, value, slope=0.0):
        self.value, self.slope = value, slope

    def __add__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.value + other.value, self.slope + other.slope)

    def __sub__(self, other):
        return self + other * -1.0 if isinstance(other, Dual) else self + -other

    def __mul__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.value * other.value, self.slope * other.value + self.value * other.slope)

    def exp(self):
        return Dual(math.exp(self.value), self.slope * math.exp(self.value))


def token(new, old, reference, advantage, epsilon, beta):
    """What one token adds to the objective (to be maximised)."""
    ratio = (new - old).exp()
    inside = 1 - epsilon <= ratio.value <= 1 + epsilon
    clipped = ratio if inside else Dual(1 - epsilon if ratio.value < 1 else 1 + epsilon)
    plain, cut = ratio * advantage, clipped * advantage
    gain = plain if plain.value <= cut.value else cut
    if reference is None:
        return gain
    gap = (new * -1.0) + reference
    return gain - (gap.exp() - gap + -1.0) * beta


def objective(case, seed_of_slope):
    """The negative objective; the slope belongs to the token (answer, place) of `seed_of_slope`."""
    groups, terms = case["groups"], case["terms"]
    answers = sum(len(group["rewards"]) for group in groups)
    lengths = [len(new) for group, mask in zip(groups, case["counts"]) for new, counts in zip(group["new"], mask) if counts]
    total = Dual(0.0)
    for g, group in enumerate(groups):
        mean, std = statistics.fmean(group["rewards"]), statistics.stdev(group["rewards"])
        for a, reward in enumerate(group["rewards"]):
            if not case["counts"][g][a]:
                continue
            advantage = (reward - mean) / (std + terms["std_epsilon"]) if std > 0 else 0.0
            tokens = Dual(0.0)
            for t, value in enumerate(group["new"][a]):
                new = Dual(value, 1.0 if (g, a, t) == seed_of_slope else 0.0)
                reference = group["reference"][a][t] if terms["beta"] else None
                tokens = tokens + token(new, group["old"][a][t], reference, advantage, terms["epsilon"], terms["beta"])
            weight = {
                "grpo": 1 / (answers * len(group["new"][a])),
                "bnpo": 1 / sum(lengths),
                "dr_grpo": 1 / (answers * terms["longest"]),
            }[terms["loss_type"]]
            total = total + tokens * weight
    return total * -1.0


def case(lot, loss_type, beta, masked):
    """Two or three groups of four answers; one group without spread; ratios on both sides of both edges."""

    def answer(length):
        old = [-lot.expovariate(1.0) for _ in range(length)]
        # Within the edges, far outside, and exactly at 1.
        moves = [lot.choice([0.0, lot.uniform(-0.15, 0.15), lot.uniform(0.25, 0.9), lot.uniform(-0.9, -0.25)]) for _ in old]
        reference = [value + lot.uniform(-0.8, 0.8) for value in old]
        return [value + move for value, move in zip(old, moves)], old, reference

    groups, counts = [], []
    for number in range(lot.choice([2, 3])):
        answers = [answer(lot.randint(1, 7)) for _ in range(4)]
        new, old, reference = (list(column) for column in zip(*answers))
        rewards = [2.0] * 4 if number == 1 else [float(lot.randint(0, 3)) for _ in range(4)]
        if number == 0 and len(set(rewards)) == 1:
            rewards[0] += 1.0
        groups.append({"rewards": rewards, "new": new, "old": old, "reference": reference})
        counts.append([not (masked and lot.random() < 0.4) for _ in range(4)])
    terms = {"epsilon": 0.2, "beta": beta, "std_epsilon": 1e-4, "loss_type": loss_type, "longest": 9}
    made = {"terms": terms, "groups": groups, "counts": counts}
    made["loss"] = objective(made, None).value
    made["gradient"] = [
        [[objective(made, (g, a, t)).slope for t in range(len(new))] for a, new in enumerate(group["new"])] for g, group in enumerate(groups)
    ]
    return made


def main():
    lot = random.Random(2026)
    cases = [case(lot, loss_type, beta, masked) for loss_type in ["grpo", "bnpo", "dr_grpo"] for beta in [0.0, 0.001, 0.5] for masked in [False, True]]
    print(json.dumps({"cases": cases}))


main()
