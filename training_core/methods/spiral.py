"""SPIRAL (Bo Liu et al., 2025; arXiv 2506.24119): one model plays both seats of zero-sum games against its current self.

The only signal is who won. A running baseline per game and seat turns it into an advantage, so a seat that usually wins does
not drown the other (role-conditioned advantage estimation). The opponent is as strong as the learner at every moment.
"""

import random
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from training_core.evaluate.games import Contest, LeagueTable, evaluate_games
from training_core.evaluate.held_out import Evaluation
from training_core.games.base import Games
from training_core.games.textarena import PREFIX
from training_core.methods.base import Role, RolloutCost, SelfPlay, Snapshot
from training_core.play.match import SEATS, Deed, Match, Player, RandomPlayer, Speaker, play_match
from training_core.play.play import Play
from training_core.play.prompts import Prompts
from training_core.play.records import Blend, Rollout, StepBatch
from training_core.play.requests import derive_seed
from training_core.play.step_log import StepLog, turn_of
from training_core.spec.base import Block, Group, Probability, Unit
from training_core.spec.events import SampleData, Turn
from training_core.spec.learning import AdvantageSpec, ClippedPolicyLoss, OptimizerSpec, PolicyLossSpec, RoleConditioned
from training_core.spec.online import OnlineSpec
from training_core.spec.tasks import GamesTask

if TYPE_CHECKING:
    from training_core.spec.experiment import ExperimentSpec

AVERAGE, REFERENCE, OPPONENT = "average", "reference", "opponent"


class SelfOpponent(Block):
    """Both seats are played by the newest weights, and both learn."""

    kind: Literal["self"] = "self"


class RandomOpponent(Block):
    """The other seat moves by chance. The paper's control: there is nothing to learn from it for long."""

    kind: Literal["random"] = "random"


class PoolOpponent(Block):
    """The other seat is played by one of the past snapshots, drawn anew for each game."""

    kind: Literal["pool"] = "pool"
    share: Annotated[Probability, Unit("of games")] = 0.5
    """Share of games against a past snapshot; the rest is self-play."""


class StartOpponent(Block):
    """The other seat is played by the weights the run started from. The paper's control of a fixed opponent."""

    kind: Literal["start"] = "start"


OpponentSpec = Annotated[SelfOpponent | RandomOpponent | PoolOpponent | StartOpponent, Field(discriminator="kind")]


class SpiralSpec(OnlineSpec):
    """The knobs of SPIRAL; defaults are those of the paper's released code."""

    name: Literal["spiral"] = "spiral"

    advantage: Annotated[AdvantageSpec, Group("Learning")] = RoleConditioned()
    """What a return is compared with: by default a running baseline per game and seat."""
    loss: Annotated[PolicyLossSpec, Group("Learning")] = ClippedPolicyLoss(
        clip_low=0.2, clip_high=0.2, dual_clip=None, entropy_coef=0.0
    )
    """The policy loss."""
    optimizer: Annotated[OptimizerSpec, Group("Learning")] = OptimizerSpec(betas=(0.9, 0.95), epochs=2)
    """The optimiser."""

    turns_per_update: Annotated[int, Field(ge=2, le=1_000_000), Group("Games"), Unit("turns")] = 128
    """Turns to learn from at each step, from as many games as it takes."""
    actors: Annotated[int, Field(ge=1, le=100_000), Group("Games"), Unit("actors")] = 8
    """Games played at the same time. Each actor plays game after game until it has its share of the turns."""
    exact_batch: Annotated[bool, Group("Games")] = True
    """Keep exactly the asked number of turns, drawn by chance from those played, as the paper does; off learns from all of them."""
    max_turns: Annotated[int, Field(ge=1, le=10_000), Group("Games"), Unit("turns")] = 50
    """A game that is not over by then is cut and counts as a draw."""
    opening_moves: Annotated[int, Field(ge=0, le=100), Group("Games"), Unit("turns")] = 0
    """Begin each game with up to so many moves by chance, from which nobody learns: self-play then meets more than its own favourite
    line. Paper: 0."""
    retry_draws: Annotated[int, Field(ge=0, le=5), Group("Games"), Unit("times")] = 0
    """Play a drawn game again up to so many times and learn from the last one only. Paper: 0."""
    opponent: Annotated[OpponentSpec, Group("Games")] = SelfOpponent()
    """Who sits in the other seat. Only the newest weights' own turns are learnt from."""
    past_snapshots: Annotated[int, Field(ge=0, le=16), Group("Games"), Unit("snapshots")] = 0
    """Past weights that are kept, for the pool of opponents and the league; the oldest gives way. Each costs a copy of the model."""
    past_every: Annotated[
        int, Field(ge=1, le=100_000, title="Steps between snapshots"), Group("Games"), Unit("steps")
    ] = 16
    """Steps between two of them."""

    payoff: Annotated[Literal["outcome", "stakes"], Group("Rewards")] = "outcome"
    """outcome pays 1, 0 or -1 as in the paper; stakes pays what the game does, as a share of its most: half for a small pot."""
    illegal_penalty: Annotated[float, Field(ge=-3, le=0, title="Reward for an illegal move"), Group("Rewards")] = -1.5
    """Reward of the player whose illegal move ends the game."""
    illegal_bonus_other: Annotated[Probability, Field(title="Reward of the other player"), Group("Rewards")] = 0.5
    """What the other player is paid for it."""
    turn_gamma: Annotated[float, Field(ge=0.8, le=1, title="Discount per turn"), Group("Rewards")] = 1.0
    """Discount of the advantage per own turn that still follows in the game."""
    drop_zero_adv: Annotated[bool, Field(title="Leave out zero advantages"), Group("Rewards")] = True
    """Leave out turns whose advantage is exactly 0."""

    lr_schedule: Annotated[Literal["constant", "linear"], Group("Learning")] = "constant"
    """constant as in the paper; linear lets the step size fall to 0 over the run, which quietens the noise of the last steps."""
    average_decay: Annotated[float, Field(ge=0, lt=1), Group("Averages")] | None = None
    """Keep an averaged policy: share of the old average that each step leaves in place. The last policy of self-play circles round
    the equilibrium, its average comes closer. Empty keeps none, as in the paper."""
    reference_decay: Annotated[float, Field(ge=0, lt=1), Group("Averages")] | None = None
    """Let the weights that the KL penalty pulls to follow slowly: share of the old that each step leaves in place. Empty leaves them
    at the start."""

    eval_temperature: Annotated[float, Field(ge=0, le=5, title="Temperature when measuring"), Group("Measuring")] = 0.6
    """Temperature of the moves in games against the random and the perfect player."""
    eval_top_p: Annotated[float, Field(gt=0, le=1, title="Top-p when measuring"), Group("Measuring")] = 0.95
    """Keep the likeliest tokens that together reach this probability, in those games."""
    strategy_samples: Annotated[int, Field(ge=0, le=10_000), Group("Measuring"), Unit("moves")] = 0
    """How the strategy behind the exploitability is found: 0 scores every legal move exactly, which leaves no room for thinking
    first; above 0 draws so many moves in every situation, for models that think."""
    league_every: Annotated[int, Field(ge=0, le=10_000), Group("Measuring"), Unit("evaluations")] = 0
    """Evaluations between two leagues of the newest, averaged, past and first weights and the random player; 0 plays none."""
    league_games: Annotated[int, Field(ge=2, le=10_000), Group("Measuring"), Unit("games")] = 32
    """Games of every pair in the league, half of them with seats changed."""

    @model_validator(mode="after")
    def _parts_fit(self) -> "SpiralSpec":
        if self.turns_per_update < self.actors:
            raise ValueError(
                f"{self.actors} actors cannot share {self.turns_per_update} turns; raise turns_per_update or lower actors"
            )
        if self.opponent.kind == "pool" and self.past_snapshots == 0:
            raise ValueError("opponent is pool, but past_snapshots is 0, so the pool would be empty; keep at least one")
        if self.reference_decay is not None and self.loss.kl_coef == 0:
            raise ValueError(
                "reference_decay moves the reference of the KL penalty, but loss.kl_coef is 0; raise it, or empty reference_decay"
            )
        return self

    @property
    def past_names(self) -> list[str]:
        return [f"past-{slot + 1}" for slot in range(self.past_snapshots)]


class Spiral(SelfPlay):
    """One step: play games until there are enough turns, learn from each seat's return."""

    slug = "spiral"
    Spec = SpiralSpec
    tasks = ("games",)
    curriculum = "games"
    domain: Games

    @classmethod
    def roles(cls, spec: SpiralSpec) -> tuple[Role, ...]:
        players = tuple(
            Role(
                name=name,
                title=f"Player {seat}",
                policy="main",
                trained=True,
                reads="the rules and what this player can see",
                writes="thoughts that nobody else sees, and a move",
            )
            for seat, name in enumerate(SEATS)
        )
        if spec.opponent.kind != "start" and spec.league_every == 0:
            return players
        first = Role(
            name=OPPONENT,
            title="The start",
            policy="start",
            trained=False,
            reads="the rules and what this player can see",
            writes="a move",
        )
        return (*players, first)

    @classmethod
    def snapshots(cls, spec: SpiralSpec) -> tuple[Snapshot, ...]:
        found = [Snapshot(name=name, of=SEATS[0]) for name in spec.past_names]
        if spec.average_decay is not None:
            found.append(Snapshot(name=AVERAGE, of=SEATS[0]))
        if spec.reference_decay is not None:
            found.append(Snapshot(name=REFERENCE, of=SEATS[0], reference=True, speaks=False))
        return tuple(found)

    @classmethod
    def check(cls, experiment: "ExperimentSpec") -> None:
        assert isinstance(experiment.method, SpiralSpec)
        if experiment.weights.kind != "shared":
            raise ValueError(
                f"weights.kind is {experiment.weights.kind}, but both seats are played by one set of weights; set it to shared"
            )
        assert isinstance(experiment.task, GamesTask)
        foreign = [name for name in experiment.task.games if name.startswith(PREFIX)]
        if foreign and experiment.model.is_starter:
            raise ValueError(
                f"the starter was not taught {foreign[0]}; choose an instruction-tuned model or another game"
            )

    @classmethod
    def rollout_cost(cls, experiment: "ExperimentSpec") -> RolloutCost:
        spec = experiment.method
        assert isinstance(spec, SpiralSpec)
        own = spec.turns_per_update
        others = {"self": 0.0, "random": 0.0, "start": 1.0, "pool": getattr(spec.opponent, "share", 0.0)}
        return RolloutCost(
            completions={"own turns": own, "opponent's turns": round(own * others[spec.opponent.kind])}, trained=own
        )

    def __init__(self, experiment: "ExperimentSpec", domain: Games, prompts: Prompts) -> None:
        super().__init__(experiment, domain, prompts)
        assert isinstance(experiment.method, SpiralSpec)
        self.spec = experiment.method
        self.last_step = 0

    async def step(self, play: Play) -> StepBatch:
        spec, log = self.spec, StepLog()
        shares = [
            spec.turns_per_update // spec.actors + (a < spec.turns_per_update % spec.actors) for a in range(spec.actors)
        ]
        played = await play.gather(self._actor(play, log, actor, share) for actor, share in enumerate(shares))
        # In the order of the actors, not as games end: short games end first and often alike, and a running baseline that met
        # them in a row would take away just what tells them from the others.
        for rollout, train in chain.from_iterable(played):
            log.learn(rollout, train=train)
            if rollout.turn is not None and not train:
                log.discard(rollout.turn, "more turns were played than one update takes")
        self.last_step = play.step
        return log.batch(blends=self._blends(play), lr_scale=self._lr_scale(play.step))

    def _lr_scale(self, step: int) -> float:
        return 1.0 if self.spec.lr_schedule == "constant" else 1 - (step - 1) / self.experiment.steps

    async def _actor(self, play: Play, log: StepLog, actor: int, share: int) -> list[tuple[Rollout, bool]]:
        """Games one after the other until there are ``share`` turns to learn from; every turn, and whether it is kept."""
        turns: list[Rollout] = []
        num_games = 0
        while len(turns) < share:
            turns += await self._game(play, log, actor + num_games * self.spec.actors)
            num_games += 1
        kept = set(range(len(turns)))
        if self.spec.exact_batch:
            kept = set(self._rng(play, "kept", actor).sample(range(len(turns)), share))
        return [(rollout, place in kept) for place, rollout in enumerate(turns)]

    async def _game(self, play: Play, log: StepLog, number: int) -> list[Rollout]:
        """One game of the step; gives the turns of the newest weights, with their rewards."""
        games = self.domain.games
        game, seat = games[number % len(games)], number // len(games) % 2
        rng = self._rng(play, "game", number)
        opponent = self._opponent(play, rng)
        speaker = Speaker(play, self.prompts)
        players: list[Player] = [speaker, speaker]
        if opponent is not None:
            players[1 - seat] = opponent
        for tries in range(1 + self.spec.retry_draws):
            match = await play_match(
                game,
                players,
                rng=rng,
                max_turns=self.spec.max_turns,
                num_by_chance=rng.randint(0, self.spec.opening_moves),
            )
            if match.outcome != (0, 0) or tries == self.spec.retry_draws:
                break
            again = self._sample(log, match, f"{play.step}-{number}.{tries}")
            log.discard(again, "a draw, so it was played again")
        return self._learnt(play, log, match, number, seats={0, 1} if opponent is None else {seat})

    def _rng(self, play: Play, what: str, number: int) -> random.Random:
        return random.Random(derive_seed(self.experiment.seed, play.step, what, number))

    def _opponent(self, play: Play, rng: random.Random) -> Player | None:
        """Who sits in the other seat; None where it is the newest weights."""
        match self.spec.opponent:
            case RandomOpponent():
                return RandomPlayer(rng)
            case StartOpponent():
                return Speaker(play, self.prompts, role=OPPONENT)
            case PoolOpponent(share=share) if rng.random() < share:
                return Speaker(play, self.prompts, policy=rng.choice(self.spec.past_names))
        return None

    def _learnt(self, play: Play, log: StepLog, match: Match, number: int, *, seats: set[int]) -> list[Rollout]:
        """The turns of ``seats`` as rollouts, and the game as a sample."""
        rewards = self._rewards(match)
        sample = self._sample(log, match, f"{play.step}-{number}")
        left = [sum(deed.seat == seat for deed in match.deeds) for seat in (0, 1)]
        rollouts = []
        for deed, turn in zip(match.deeds, sample.turns, strict=True):
            left[deed.seat] -= 1
            completion = deed.said.completion
            if deed.seat not in seats or completion is None:
                continue
            log.spoke(SEATS[deed.seat], completion, float(deed.said.action is not None))
            rollouts.append(
                Rollout(
                    role=SEATS[deed.seat],
                    group=sample.episode,
                    completion=completion,
                    reward=rewards[deed.seat],
                    parts={"outcome" if match.offender is None else "illegal": rewards[deed.seat]},
                    baseline=match.game.name,
                    scale=self.spec.turn_gamma ** left[deed.seat],
                    droppable=self.spec.drop_zero_adv,
                    turn=turn,
                )
            )
        self._count(log, match, seats)
        return rollouts

    def _rewards(self, match: Match) -> tuple[float, float]:
        """What each seat earns: the outcome or the stakes, and after an illegal move the penalty and the bonus."""
        if match.offender is not None:
            paid = (self.spec.illegal_penalty, self.spec.illegal_bonus_other)
            return paid if match.offender == 0 else (paid[1], paid[0])
        first, second = match.outcome if self.spec.payoff == "outcome" else match.returns
        return (float(first), float(second))

    def _sample(self, log: StepLog, match: Match, episode: str) -> SampleData:
        """The game as a reader sees it."""
        title = f"{match.game.title}: {match.result}"
        sample = log.new_sample(episode, title, game=match.game.title, result=match.result)
        sample.layout = "game"
        sample.turns += [self._told(deed) for deed in match.deeds]
        return sample

    @staticmethod
    def _told(deed: Deed) -> Turn:
        said = deed.said
        if said.completion is None:
            turn = Turn(role=SEATS[deed.seat], text="", parsed=said.action, note="by chance")
        else:
            turn = turn_of(SEATS[deed.seat], said.completion, said.action)
        if said.action is None:
            turn.note = "illegal move"
        turn.scene = deed.after.scene()
        return turn

    @staticmethod
    def _count(log: StepLog, match: Match, seats: set[int]) -> None:
        for deed in match.deeds:
            if deed.seat in seats:
                log.count("games/illegal_moves", deed.said.action is None)
        log.count("games/turns", len(match.deeds))
        log.count("games/illegal", match.offender is not None)
        log.count("games/cut", match.is_cut)
        if match.offender is None:
            log.count("games/draws", match.outcome == (0, 0))
            log.count("games/first_wins", match.outcome[0] > 0)
            log.count("games/first_value", match.returns[0] * match.game.most)

    def _blends(self, play: Play) -> list[Blend]:
        """The averaged policy, the reference and the past snapshots after this step."""
        spec, main = self.spec, play.policy_of(SEATS[0])
        blends = []
        if spec.average_decay is not None:
            # Young averages forget the start faster than old ones.
            decay = min(spec.average_decay, (1 + play.step) / (10 + play.step))
            blends.append(Blend(into=AVERAGE, parts={AVERAGE: decay, main: 1 - decay}))
        if spec.reference_decay is not None:
            parts = {REFERENCE: spec.reference_decay, main: 1 - spec.reference_decay}
            blends.append(Blend(into=REFERENCE, parts=parts))
        if spec.past_snapshots and play.step % spec.past_every == 0:
            blends.append(Blend(into=spec.past_names[self._slot(play.step)], parts={main: 1.0}))
        return blends

    def _slot(self, step: int) -> int:
        return (step // self.spec.past_every - 1) % self.spec.past_snapshots

    @classmethod
    def why_uncorrectable(cls, experiment: "ExperimentSpec") -> str:
        return "The rules of the game say exactly who won, so there is no verdict to overrule."

    async def evaluate(self, play: Play) -> Evaluation:
        """Games against the random and the perfect player, exploitability where the tree is small, and now and then a league."""
        return await evaluate_games(play, self._contest(), self.domain.games)

    def _contest(self) -> Contest:
        spec, settings = self.spec, self.experiment.evaluation
        return Contest(
            prompts=self.prompts,
            averaged=AVERAGE if spec.average_decay is not None else None,
            sampling=spec.sampling.model_copy(update={"temperature": spec.eval_temperature, "top_p": spec.eval_top_p}),
            seed=self.experiment.seed,
            num_games=settings.num_items,
            max_turns=spec.max_turns,
            strategy_samples=spec.strategy_samples,
            league=self._league(),
        )

    def _league(self) -> LeagueTable | None:
        """Who meets in a league, at the evaluations that have one."""
        spec = self.spec
        every = spec.league_every * self.experiment.evaluation.every
        if every == 0 or self.last_step == 0 or self.last_step % every:
            return None
        average = {AVERAGE: AVERAGE} if spec.average_decay is not None else {}
        return LeagueTable(
            policies={"newest": None, **average, **self._past()}, start=OPPONENT, num_games=spec.league_games
        )

    def _past(self) -> dict[str, str]:
        """Names of the past snapshots that have been taken, by the step they are from, oldest first."""
        taken = range(self.spec.past_every, self.last_step + 1, self.spec.past_every)
        newest = taken[-self.spec.past_snapshots :] if self.spec.past_snapshots else ()
        return {f"step {step}": self.spec.past_names[self._slot(step)] for step in newest}

    def state_dict(self) -> dict[str, Any]:
        return {"last_step": self.last_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.last_step = state["last_step"]
