"""Momentum across rounds where every round can be solved exactly: a bandit whose rewards are known.

    python -m bench.bandit

The policy is a softmax over 20 actions. A round of preference optimisation with unlimited pairs of a Bradley-Terry oracle has the
closed solution hat_t+1 ~ pi_t exp(r / beta); APO then takes pi_t+1 ~ hat_t+1 (hat_t+1 / hat_t)^alpha. Printed is the
sub-optimality of the hats: the best action's reward less the expected one. The table stands in docs/methods/apo.md.
"""

import random
from math import exp
from typing import Any

NUM_ACTIONS = 20
BETA = 5.0
ROUNDS = (1, 2, 4, 8, 12)
SEED = 0
ARMS: dict[str, dict[str, Any]] = {
    "alpha 0": {"alpha": 0.0},
    "alpha 0.3": {"alpha": 0.3},
    "alpha 0.6": {"alpha": 0.6},
    "alpha 0, beta 0.7 of it": {"alpha": 0.0, "beta": 0.7 * BETA},
    "alpha 0, beta 0.4 of it": {"alpha": 0.0, "beta": 0.4 * BETA},
}


def suboptimality(rewards: list[float], *, alpha: float, beta: float = BETA, rounds: int) -> list[float]:
    """Best reward less the expected reward of hat_2, hat_3 and so on, ``rounds`` of them; the start is uniform.

    Policies are kept as logits, in which both formulas are sums.
    """
    policy = hat = [0.0] * len(rewards)
    found = []
    for _ in range(rounds):
        last, hat = hat, [logit + reward / beta for logit, reward in zip(policy, rewards, strict=True)]
        policy = [new + alpha * (new - old) for new, old in zip(hat, last, strict=True)]
        weights = [exp(logit - max(hat)) for logit in hat]
        expected = sum(w * reward for w, reward in zip(weights, rewards, strict=True)) / sum(weights)
        found.append(max(rewards) - expected)
    return found


def main() -> None:
    rng = random.Random(SEED)
    rewards = [rng.gauss(0, 1) for _ in range(NUM_ACTIONS)]
    print("| rounds |", " | ".join(str(number) for number in ROUNDS), "|")
    print("| --- |" + " --- |" * len(ROUNDS))
    for name, arm in ARMS.items():
        gaps = suboptimality(rewards, **arm, rounds=max(ROUNDS))
        print(f"| {name} |", " | ".join(f"{gaps[number - 1]:.2f}" for number in ROUNDS), "|")


if __name__ == "__main__":
    main()
