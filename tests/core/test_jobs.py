"""Jobs on weights of a real run: what they give back, what they refuse, and that they leave the weights as they were."""

import json
import random
import zipfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny_model import make_tiny_model, spec_of
from training_core.games.base import settle
from training_core.games.kuhn_poker import KuhnPoker
from training_core.games.replay import Unrepeatable, replay
from training_core.games.tic_tac_toe import TicTacToe
from training_core.jobs.command import carry_out, serve
from training_core.jobs.shelf import Shelf
from training_core.play.prompts import filled
from training_core.runner import Run
from training_core.spec.io import dump_dict
from training_core.spec.jobs import RejudgeJob, Weights

Asked = dict[str, Any]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def tiny(root: Path) -> dict[str, Any]:
    """Weights of a run of two steps, whole: those of step 2 and the start."""
    spec = spec_of(make_tiny_model(root / "tiny"), steps=2, evaluation={"every": 2, "num_items": 2})
    name = f"runs/{uuid4()}"
    assert Run(spec, root / name).execute() == "succeeded"
    told = dump_dict(spec)
    return {
        "new": {"name": "step 2", "spec": told, "checkpoint": f"{name}/checkpoints/step-000002"},
        "start": {"name": "start", "spec": told},
    }


@pytest.fixture(scope="module")
def shelf(root: Path) -> Shelf:
    return Shelf(models_dir=root / "models")


def ask(root: Path, shelf: Shelf, kind: str, **payload: Any) -> tuple[Asked, Path]:
    folder = root / "jobs" / uuid4().hex
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps({"kind": kind, "payload": payload, "root": str(root)}))
    return carry_out(folder, shelf), folder


def test_speakers_answer_one_prompt_with_one_seed(root: Path, shelf: Shelf, tiny: Asked) -> None:
    asked = {
        "speakers": [tiny["new"], tiny["start"], tiny["new"]],
        "prompt": {"name": "solve", "values": {"question": "3+4"}},
        "sampling": {"max_tokens": 12},
        "logprobs": True,
    }
    outcome, _ = ask(root, shelf, "say", **asked)
    new, start, again = outcome["result"]["answers"]
    assert new["prompt"] == start["prompt"] == "<|solve|>3+4<|go|>"
    assert new["completions"] == again["completions"]
    (said,) = new["completions"]
    assert said["num_tokens"] == len(said["tokens"]) <= 12
    assert said["logprob"] == pytest.approx(sum(logprob for _, logprob in said["tokens"]), abs=1e-2)
    assert "".join(word for word, _ in said["tokens"]).startswith(said["text"])
    assert ask(root, shelf, "say", **asked)[0]["result"]["answers"][1]["completions"] == start["completions"]


def test_solvers_meet_at_held_out_questions_and_the_verifier_decides(root: Path, shelf: Shelf, tiny: Asked) -> None:
    players = {name: {"kind": "weights", "weights": tiny[key]} for name, key in (("first", "new"), ("second", "start"))}
    contest = {"kind": "questions", "task": {"kind": "arithmetic"}}
    outcome, folder = ask(
        root, shelf, "match", **players, contest=contest, num_games=6, sampling={"max_tokens": 4}, seed=3
    )
    games = outcome["result"]["games"]
    assert sum(outcome["result"]["tally"].values()) == 6 == len({game["question"] for game in games})
    assert all(game["points"] == (1 + a["right"] - b["right"]) / 2 for game in games for a, b in [game["answers"]])
    assert json.loads((folder / "progress.json").read_text())["text"].endswith("of 6 played")


def test_a_judge_may_decide_instead(root: Path, shelf: Shelf, tiny: Asked) -> None:
    player = {"kind": "weights", "weights": tiny["start"]}
    contest = {"kind": "questions", "task": {"kind": "arithmetic"}, "judge": tiny["new"]}
    outcome, _ = ask(
        root, shelf, "match", first=player, second=player, contest=contest, num_games=2, sampling={"max_tokens": 6}
    )
    for game in outcome["result"]["games"]:
        one, other = (answer["score"] for answer in game["answers"])
        assert game["points"] == (0.5 if one == other else float(one > other))


@pytest.fixture(scope="module")
def gamer(root: Path) -> Asked:
    """A random model that speaks the marks of games."""
    folder = make_tiny_model(root / "gamer", curriculum="games")
    spec = spec_of(folder, method={"name": "spiral"}, task={"kind": "games", "games": ["tic_tac_toe"]})
    return {"name": "gamer", "spec": dump_dict(spec)}


def test_seats_change_from_game_to_game_and_points_are_the_first_players(
    root: Path, shelf: Shelf, gamer: Asked
) -> None:
    contest = {"kind": "game", "game": "tic_tac_toe"}
    first = {"kind": "weights", "weights": gamer}
    outcome, _ = ask(
        root,
        shelf,
        "match",
        first=first,
        second={"kind": "perfect"},
        contest=contest,
        num_games=4,
        sampling={"max_tokens": 6},
    )
    games = outcome["result"]["games"]
    assert [game["first_seat"] for game in games] == [0, 1, 0, 1]
    assert outcome["result"]["tally"]["won"] == 0  # nobody beats perfect play
    for game in games:
        seat = game["first_seat"]
        lost = f"player {1 - seat} won" in game["result"] or f"player {seat} made an illegal move" in game["result"]
        assert game["points"] == (0.0 if lost else 0.5)
        assert all("scene" in turn for turn in game["turns"])


def test_a_match_goes_on_from_a_recorded_position(root: Path, shelf: Shelf) -> None:
    """X has two in a row and is to move: perfect play wins at once."""
    board = TicTacToe().start()
    made = []
    for action in [board.actions()[place] for place in (0, 3, 1, 4)]:
        board = board.play(action)
        made.append({"action": action, "scene": board.scene().model_dump()})
    contest = {"kind": "game", "game": "tic_tac_toe", "opening": made}
    outcome, _ = ask(
        root, shelf, "match", first={"kind": "perfect"}, second={"kind": "random"}, contest=contest, num_games=3
    )
    assert outcome["result"]["tally"] == {"won": 3, "drawn": 0, "lost": 0}
    assert [len(game["turns"]) for game in outcome["result"]["games"]] == [1, 1, 1]


def test_hidden_cards_are_found_again_by_what_readers_saw() -> None:
    hand = settle(KuhnPoker().start(), random.Random(4))
    played = [hand, hand.play("check"), hand.play("check").play("bet")]
    moves = [("check", played[1].scene()), ("bet", played[2].scene())]
    assert replay(KuhnPoker(), moves) == played
    with pytest.raises(Unrepeatable, match="Move 2"):
        replay(KuhnPoker(), [moves[0], ("fold", played[2].scene())])


def test_a_judge_grades_again_with_an_edited_prompt(root: Path, shelf: Shelf, tiny: Asked) -> None:
    items = [
        {"id": str(place), "question": "3+4", "answer": answer, "right": answer == "7"}
        for place, answer in enumerate(("7", "8", "{question}"))
    ]
    outcome, _ = ask(root, shelf, "rejudge", judge=tiny["new"], items=items, n=2, sampling={"max_tokens": 6})
    result = outcome["result"]
    assert [item["id"] for item in result["items"]] == ["0", "1", "2"]
    assert all(len(item["scores"]) == 2 for item in result["items"])
    assert (result["agreement"]["num_right"], result["agreement"]["num_wrong"]) == (1, 2)
    edited, _ = ask(
        root, shelf, "rejudge", judge=tiny["new"], items=items, template="<|judge|>{answer}<|reply|>{question}<|go|>"
    )
    assert "result" in edited
    assert (
        filled("{answer} of {question} and {other", answer="{question}", question="Q") == "{question} of Q and {other"
    )
    pair = {"id": "a", "question": "3+4", "answer": "7", "other": "8", "right": True}
    compared, _ = ask(
        root,
        shelf,
        "rejudge",
        judge=tiny["new"],
        items=[pair],
        asks="pair",
        template="<|judge|>{first}<|reply|>{second}<|go|>",
    )
    (line,) = compared["result"]["items"]
    assert (len(line["scores"]), len(line["orders"])) == (2, 2)
    with pytest.raises(ValidationError, match="item a has another answer, but asks is not pair"):
        RejudgeJob.model_validate({"judge": tiny["new"], "items": [pair]})
    with pytest.raises(ValidationError, match="never shows the answer"):
        RejudgeJob.model_validate({"judge": tiny["new"], "items": items, "template": "Grade {question}."})


def test_an_export_loads_with_plain_transformers(root: Path, shelf: Shelf, tiny: Asked, tmp_path: Path) -> None:
    outcome, folder = ask(root, shelf, "export", weights=tiny["new"], file_name="tiny-step-2", card="# Tiny\n")
    packed = folder / outcome["result"]["file"]
    assert packed.stat().st_size == outcome["result"]["num_bytes"]
    zipfile.ZipFile(packed).extractall(tmp_path)
    exported = tmp_path / "tiny-step-2"
    assert {"README.md", "config.json", "generation_config.json", "kumite.yaml", "model.safetensors"} <= {
        path.name for path in exported.iterdir()
    }
    model = AutoModelForCausalLM.from_pretrained(exported)
    own = load_file(root / tiny["new"]["checkpoint"] / "policy" / "model.safetensors")
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in own.items())
    assert AutoTokenizer.from_pretrained(exported).eos_token == "<|end|>"


def test_an_adapter_is_merged_or_left_beside_its_base(root: Path, tiny: Asked, shelf: Shelf, tmp_path: Path) -> None:
    base = root / "tiny"
    spec = spec_of(base, steps=1, checkpoint={"every": 1}, model={"source": str(base), "adapter": {"rank": 2}})
    name = f"runs/{uuid4()}"
    assert Run(spec, root / name).execute() == "succeeded"
    weights = {"name": "LoRA", "spec": dump_dict(spec), "checkpoint": f"{name}/checkpoints/step-000001"}
    said = {"speakers": [weights], "prompt": {"text": "<|solve|>3+4<|go|>"}, "sampling": {"max_tokens": 8}}
    before = ask(root, shelf, "say", **said)[0]["result"]["answers"][0]["completions"]
    merged, folder = ask(root, shelf, "export", weights=weights, file_name="merged")
    zipfile.ZipFile(folder / merged["result"]["file"]).extractall(tmp_path)
    adapter, _ = ask(root, shelf, "export", weights=weights, file_name="adapter", form="adapter")
    assert {"adapter_model.safetensors", "adapter_config.json"} <= set(adapter["result"]["files"])
    assert ask(root, shelf, "say", **said)[0]["result"]["answers"][0]["completions"] == before
    policy = shelf.load(Weights.model_validate(weights), root=root, progress=lambda *_: None)
    ids = torch.tensor([policy.encode("<|solve|>3+4<|go|>")])
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    with torch.no_grad(), policy.active():
        assert torch.allclose(policy.model(ids).logits, plain(ids).logits, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"checkpoint": f"runs/{uuid4()}/checkpoints/step-000009"}, "not on this worker any more"),
        ({"checkpoint": "../../etc"}, "cannot be read"),
        ({"policy": "judge"}, "no policy called judge"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_sentence(
    change: Asked, words: str, root: Path, shelf: Shelf, tiny: Asked
) -> None:
    outcome, _ = ask(root, shelf, "say", speakers=[tiny["new"] | change], prompt={"text": "<|solve|>1<|go|>"})
    assert words in outcome["error"]


def test_a_process_that_stays_answers_job_after_job(root: Path, tiny: Asked) -> None:
    folders = []
    for text in ("<|solve|>1+1<|go|>", "", "<|solve|>2+2<|go|>"):
        folder = root / "jobs" / uuid4().hex
        folder.mkdir(parents=True)
        payload = {"speakers": [tiny["new"]], "prompt": {"text": text}, "sampling": {"max_tokens": 4}}
        (folder / "job.json").write_text(json.dumps({"kind": "say", "payload": payload, "root": str(root)}))
        folders.append(folder)
    assert serve(folders, models_dir=root / "models", threads=1) == 0
    outcomes = [json.loads((folder / "outcome.json").read_text()) for folder in folders]
    assert ["result" in outcome for outcome in outcomes] == [True, False, True]
    assert "the prompt is empty" in outcomes[1]["error"]
