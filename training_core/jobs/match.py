"""Two players meet: at a game, from its start or from a recorded position, or at held-out questions."""

import random
from collections.abc import Callable
from typing import Any

from training_core.games.base import Game, Position
from training_core.games.minimax import Minimax
from training_core.games.registry import make_game
from training_core.games.replay import replay
from training_core.jobs.desk import Desk, engine_of
from training_core.play.judging import Judge
from training_core.play.match import SEATS, Deed, PerfectPlayer, Player, RandomPlayer, Speaker, play_match
from training_core.play.match import Match as Played
from training_core.play.play import Play
from training_core.play.prompts import Prompts
from training_core.play.requests import Completion, derive_seed
from training_core.play.scheduler import run as play_out
from training_core.policies.loaded import LoadedPolicy
from training_core.rewards.tags import last_tag
from training_core.spec.events import Turn
from training_core.spec.jobs import GameContest, MatchJob, QuestionContest, WeightsPlayer
from training_core.spec.judges import FrozenJudge
from training_core.tasks.base import Domain, Item
from training_core.tasks.registry import make_domain

NUM_ITEMS = 512
"""Questions of a match are drawn from so many held-out ones."""
MAX_TEXT = 4000
"""Longer texts are kept by their beginning and their end."""
_TEXTS_TOTAL = 3_000_000
_NAMES = ("first", "second")


def run(job: MatchJob, desk: Desk) -> dict[str, Any]:
    """``{"tally": {"won", "drawn", "lost"}, "games": [...]}``, both as the first player sees them."""
    games = _Match(job, desk).games()
    points = [game["points"] for game in games]
    tally = {"won": points.count(1.0), "drawn": points.count(0.5), "lost": points.count(0.0)}
    return {"tally": tally, "games": _within_bounds(games)}


class _Match:
    """One job; ``play`` knows the players as the roles first, second and judge."""

    def __init__(self, job: MatchJob, desk: Desk) -> None:
        self.job, self.desk = job, desk
        self._weights = {
            name: player.weights
            for name, player in zip(_NAMES, (job.first, job.second), strict=True)
            if isinstance(player, WeightsPlayer)
        }
        if isinstance(job.contest, QuestionContest) and job.contest.judge is not None:
            self._weights["judge"] = job.contest.judge
        self._policies: dict[str, LoadedPolicy] = {name: desk.load(each) for name, each in self._weights.items()}
        self._num_done = 0

    def games(self) -> list[dict[str, Any]]:
        """The record of every game, in order."""
        play = Play(
            policies={name: name for name in self._policies},
            sampling=self.job.sampling,
            seed=self.job.seed,
            step=0,
            stream="match",
        )
        contest = self.job.contest
        episode = self._at_a_game(play, contest) if isinstance(contest, GameContest) else self._asked(play, contest)
        return play_out(episode, engine_of(self._policies))

    def _prompts(self, name: str) -> Prompts:
        return self.desk.prompts(self._weights[name], self._policies[name])

    def _counted(self) -> None:
        self._num_done += 1
        total = self.job.num_games
        self.desk.tell(self._num_done / total, f"{self._num_done} of {total} played")

    # Games

    async def _at_a_game(self, play: Play, contest: GameContest) -> list[dict[str, Any]]:
        game = make_game(contest.game)
        start = None
        if contest.opening:
            start = replay(game, [(made.action, made.scene) for made in contest.opening])[-1]
        numbers = range(self.job.num_games)
        return list(await play.gather(self._game(play, contest, game, start, number) for number in numbers))

    async def _game(
        self, play: Play, contest: GameContest, game: Game, start: Position | None, number: int
    ) -> dict[str, Any]:
        seat = 0 if start is not None else number % 2
        rng = random.Random(derive_seed(self.job.seed, "match", game.name, number))
        first, second = (self._player(play, name, rng) for name in _NAMES)
        players = [first, second] if seat == 0 else [second, first]
        turns_left = contest.max_turns - len(contest.opening)
        match = await play_match(game, players, rng=rng, max_turns=max(1, turns_left), start=start)
        self._counted()
        return _told_game(match, number, seat)

    def _player(self, play: Play, name: str, rng: random.Random) -> Player:
        kind = (self.job.first if name == "first" else self.job.second).kind
        makers: dict[str, Callable[[], Player]] = {
            "weights": lambda: Speaker(play, self._prompts(name), role=name),
            "random": lambda: RandomPlayer(rng),
            "perfect": lambda: PerfectPlayer(rng, Minimax()),
        }
        return makers[kind]()

    # Questions

    async def _asked(self, play: Play, contest: QuestionContest) -> list[dict[str, Any]]:
        domain = make_domain(contest.task)
        if not isinstance(domain, Domain):
            raise ValueError("Games hold no questions; let the players meet at one of the games instead.")
        held_out = domain.held_out(NUM_ITEMS)
        rng = random.Random(derive_seed(self.job.seed, "questions"))
        items = rng.sample(held_out, min(self.job.num_games, len(held_out)))
        judge = None
        if contest.judge is not None:
            sampling = self.job.sampling.model_copy(update={"temperature": 0.0})
            judge = Judge(FrozenJudge(), domain, self._prompts("judge"), sampling=sampling, lenient=True)
        return list(await play.gather(self._question(play, domain, judge, n, item) for n, item in enumerate(items)))

    async def _question(
        self, play: Play, domain: Domain, judge: Judge | None, number: int, item: Item
    ) -> dict[str, Any]:
        prompts = [self._prompts(name).render("solve", question=item.question) for name in _NAMES]
        said = [(await play.say(name, prompt))[0] for name, prompt in zip(_NAMES, prompts, strict=True)]
        answers = [_answer(domain, item, completion) for completion in said]
        values = [float(answer["right"]) for answer in answers]
        if judge is not None:
            values = []
            for answer in answers:
                shown = answer["parsed"] or answer["text"]
                judgement = await judge.grade(play, None, item.question, shown, right=None, n=1)
                answer["score"] = round(judgement.value, 4)
                values.append(judgement.value)
        self._counted()
        points = 0.5 if values[0] == values[1] else float(values[0] > values[1])
        return {
            "number": number,
            "points": points,
            "question": item.question,
            "expected": item.answer,
            "answers": answers,
        }


def _answer(domain: Domain, item: Item, completion: Completion) -> dict[str, Any]:
    parsed = last_tag(completion.text, "answer") or completion.text.strip()[:200]
    right = bool(parsed) and domain.check(parsed, item.answer)
    return {"text": _cut(completion.text), "parsed": parsed, "right": right, "num_tokens": len(completion.token_ids)}


def _told_game(match: Played, number: int, seat: int) -> dict[str, Any]:
    turns = [_told_turn(deed).model_dump(mode="json", exclude_defaults=True) for deed in match.deeds]
    points = (1 + match.outcome[seat]) / 2
    return {"number": number, "points": points, "first_seat": seat, "result": match.result, "turns": turns}


def _told_turn(deed: Deed) -> Turn:
    completion, action = deed.said.completion, deed.said.action
    return Turn(
        role=SEATS[deed.seat],
        text="" if completion is None else _cut(completion.text),
        parsed=action,
        num_tokens=0 if completion is None else len(completion.token_ids),
        note="illegal move" if action is None else "by rule" if completion is None else None,
        scene=deed.after.scene(),
    )


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[: MAX_TEXT // 4]}\n[…]\n{text[-MAX_TEXT // 4 * 3 :]}"


def _within_bounds(games: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Games beyond the size a result may have keep their moves and lose their texts."""
    total = 0
    for game in games:
        told = [*game.get("turns", ()), *game.get("answers", ())]
        total += sum(len(each.get("text", "")) + 400 for each in told)
        if total > _TEXTS_TOTAL:
            for each in told:
                each["text"] = ""
    return games
