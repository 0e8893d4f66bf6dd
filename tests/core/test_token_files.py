"""What the update saw of each token: written beside the events, read back one sample at a time."""

from training_core.play.records import Pair, Rollout
from training_core.play.requests import Completion
from training_core.play.step_log import StepLog, turn_of
from training_core.token_files import TokenFiles, read_tokens


def completion(text: str, **more) -> Completion:
    ids = tuple(map(ord, text))
    given = {"logprobs": tuple(-0.5 for _ in ids), "entropies": (), "prompt_ids": (1,), "ended": True}
    return Completion(text=text, token_ids=ids, **{**given, **more})


def batch_of(*texts: str):
    """A sample for each text, with a turn that was learnt from and one that was not."""
    log = StepLog()
    for number, text in enumerate(texts):
        said = completion(text, logprobs=tuple(-0.123456 for _ in text))
        turn = turn_of("solver", said, None)
        log.new_sample(f"1-{number}", "?").turns += [turn_of("judge", said, None), turn]
        rollout = Rollout(role="solver", group="g", completion=said, reward=1.0, turn=turn)
        rollout.learner_logprobs = tuple(-0.2 for _ in text)
        log.learn(rollout, train=True)
        turn.advantage = 0.75
    return log.batch()


def test_one_sample_is_read_without_the_others(tmp_path):
    TokenFiles(tmp_path, keep=2).write(12, batch_of("ab", "c\N{GRINNING FACE}"), chr)
    assert sorted(path.name for path in (tmp_path / "tokens").iterdir()) == [
        "step-000012.index.json",
        "step-000012.jsonl.gz",
    ]
    (place, row), *rest = read_tokens(tmp_path, 12, "1-1").items()
    assert (place, rest) == (1, [])
    assert row.texts == ["c", "\N{GRINNING FACE}"]
    assert (row.logprobs, row.learner, row.entropies, row.advantage) == ([-0.1235, -0.1235], [-0.2, -0.2], [], 0.75)
    assert read_tokens(tmp_path, 12, "1-7") == read_tokens(tmp_path, 13, "1-0") == {}


def test_only_the_newest_steps_are_kept_and_a_resumed_run_forgets_the_later_ones(tmp_path):
    files = TokenFiles(tmp_path, keep=2)
    for step in (1, 2, 3):
        files.write(step, batch_of("ab"), chr)
    assert [bool(read_tokens(tmp_path, step, "1-0")) for step in (1, 2, 3)] == [False, True, True]
    files.cut_back(step=2)
    assert [bool(read_tokens(tmp_path, step, "1-0")) for step in (1, 2, 3)] == [False, True, False]


def test_a_broken_file_reads_as_nothing(tmp_path):
    TokenFiles(tmp_path, keep=1).write(1, batch_of("ab"), chr)
    path = tmp_path / "tokens" / "step-000001.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-9])
    assert read_tokens(tmp_path, 1, "1-0") == {}


def test_both_sides_of_a_pair_are_written_where_their_tokens_are_known(tmp_path):
    log = StepLog()
    known, bare = completion("ab"), completion("cd", logprobs=())
    turns = (turn_of("player", known, None), turn_of("player", bare, None))
    log.new_sample("1-0", "?").turns += turns
    log.prefer(Pair(role="player", prompt="?", chosen=known, rejected=bare, turns=turns))
    TokenFiles(tmp_path, keep=1).write(1, log.batch(), chr)
    assert list(read_tokens(tmp_path, 1, "1-0")) == [0]


def test_nothing_is_written_where_nothing_is_to_be_kept(tmp_path):
    TokenFiles(tmp_path, keep=0).write(1, batch_of("ab"), chr)
    assert not (tmp_path / "tokens").exists()
