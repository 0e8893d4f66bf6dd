"""A method for tests that uses everything a step can hand over, and keeps snapshots of every kind: the last iterate as reference,
the one before as rival, an average."""

from typing import Literal

from training_core.evaluate.held_out import Evaluation
from training_core.methods.base import Role, RolloutCost, SelfPlay, Snapshot
from training_core.play.records import Blend, Demonstration, Pair, Rollout, StepBatch
from training_core.play.step_log import turn_of
from training_core.spec.events import SampleData
from training_core.spec.learning import ClippedPolicyLoss, RoleConditioned
from training_core.spec.online import OnlineSpec
from training_core.spec.preference import PreferenceSpec

DECAY = 0.75


class ShadowSpec(OnlineSpec, PreferenceSpec):
    name: Literal["shadow"] = "shadow"
    advantage: RoleConditioned = RoleConditioned()
    loss: ClippedPolicyLoss = ClippedPolicyLoss(kl_coef=0.1)
    moves: bool = True
    """Whether the reference follows the player."""


class Shadow(SelfPlay):
    """A player is paid for being longer than its rival, which is the player of two steps ago."""

    title = "Shadow"
    Spec = ShadowSpec

    @classmethod
    def roles(cls, spec):
        return (
            Role(name="player", title="Player", policy="main", trained=True, reads="", writes=""),
            Role(name="rival", title="Rival", policy="past", trained=False, reads="", writes=""),
        )

    @classmethod
    def snapshots(cls, spec):
        return (
            Snapshot(name="iterate", of="player", reference=True, speaks=False),
            Snapshot(name="average", of="player"),
            Snapshot(name="past", of="player"),
        )

    @classmethod
    def rollout_cost(cls, experiment):
        return RolloutCost(completions={"answers": 6}, trained=4)

    async def step(self, play):
        prompt = self.prompts.render("solve", question="1+2")
        own, rival, average = await play.gather(
            [
                play.say("player", prompt, n=4),
                play.say("rival", prompt),
                play.say("player", prompt, policy="average"),
            ]
        )
        least = len(rival[0].token_ids) + len(average[0].token_ids)
        rollouts = [
            Rollout(role="player", group="g", completion=each, reward=float(len(each.token_ids) > least / 2) + place)
            for place, each in enumerate(own)
        ]
        player = play.policy_of("player")
        blends = [
            Blend(into="past", parts={"iterate": 1.0}),
            Blend(into="iterate", parts={player: 1.0}),
            Blend(into="average", parts={"average": DECAY, player: 1 - DECAY}),
        ]
        turns = [turn_of("player", completion, None) for completion in (*own, *average)]
        better, worse = turns[0], turns[-1]
        pairs = [
            Pair(role="player", prompt=prompt, chosen=own[0], rejected=average[0], turns=(better, worse)),
            Pair(role="player", prompt=prompt, chosen="3", rejected=own[1], beta=0.3),
        ]
        return StepBatch(
            rollouts=rollouts,
            pairs=pairs,
            demonstrations=[Demonstration(role="player", prompt=prompt, completion="3", weight=0.5)],
            samples=[SampleData(episode=f"{play.step}-0", title="1+2", turns=turns)],
            blends=blends if self.experiment.method.moves else [],
            lr_scale=1.0 if play.step % 2 else 0.5,
        )

    async def evaluate(self, play):
        prompt, texts = self.prompts.render("solve", question="2+2"), ["4", "22"]
        scores = await play.gather(
            play.score("player", prompt, texts, policy=name) for name in (None, "average", "past")
        )
        return Evaluation(
            num_items=1,
            scores={name: found[0] for name, found in zip(("main", "average", "past"), scores, strict=True)},
        )

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
