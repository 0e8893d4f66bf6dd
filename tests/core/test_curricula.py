"""What holds for every curriculum there is, and what a method says about its tasks."""

import random

import pytest

from tests.tiny_model import make_tiny_model
from training_core.curricula import base
from training_core.curricula.registry import curriculum_names, find_curriculum
from training_core.learn.rehearsal import rehearsal_texts
from training_core.methods.registry import find_method
from training_core.policies.examination import examine, reaches
from training_core.policies.load import ModelError, load_policy
from training_core.policies.tokenizer import build_tokenizer, load_starter_tokenizer
from training_core.spec.forms import find_field
from training_core.spec.io import SpecError, parse_spec
from training_core.spec.model import ModelSpec
from training_core.spec.tasks import TASKS, ArithmeticTask, PairSumTask
from training_core.spec.trained import RehearsalSpec
from training_core.tasks import language
from training_core.tasks.registry import make_domain

TAUGHT = [(name, task) for name in curriculum_names() for task in find_curriculum(name).tasks]


def load(folder, *, curriculum, task):
    return load_policy(
        ModelSpec(source=str(folder)),
        task=task,
        curriculum=curriculum,
        models_dir=folder.parent,
        device="cpu",
        progress=lambda fraction, text: None,
    )


@pytest.fixture(scope="module", params=TAUGHT, ids="-".join)
def taught(request):
    name, task = request.param
    return find_curriculum(name), make_domain(TASKS[task]())


def test_its_mixtures_weights_and_rehearsals_are_of_kinds_it_has(taught):
    curriculum, _ = taught
    named = {*curriculum.mixture, *curriculum.careful_mixture, *curriculum.weights}
    assert {*named, *curriculum.judging, *curriculum.rehearsed} <= set(curriculum.lessons)
    assert sum(curriculum.mixture.values()) == pytest.approx(1)


def test_its_lessons_are_in_its_vocabulary_fit_the_context_and_end(taught):
    curriculum, domain = taught
    tokenizer, rng = build_tokenizer(curriculum.marks, max_context=64), random.Random(2)
    for lesson in curriculum.lessons.values():
        for careful in (True, False):
            for prompt, completion in (lesson(domain, rng, careful) for _ in range(25)):
                ids = tokenizer.encode(prompt + completion, add_special_tokens=False)
                assert tokenizer.unk_token_id not in ids
                assert len(ids) <= curriculum.school.max_context
                assert completion.endswith(language.END)
                assert completion.count(language.END) == 1


def test_its_exam_gives_the_scores_that_its_teaching_waits_for(taught, tmp_path, monkeypatch):
    monkeypatch.setattr(base, "MAX_TOKENS", 6)  # untaught models never end by themselves
    curriculum, domain = taught
    policy = load(make_tiny_model(tmp_path / "tiny", curriculum=curriculum.name), curriculum=curriculum.name, task=None)
    scores = examine(policy, curriculum, domain, num_items=2, breathe=lambda: None)
    assert set(curriculum.least) <= set(scores)
    assert all(0 <= score <= 1 for score in scores.values())
    assert not reaches(scores, curriculum.least)


def test_marks_stand_behind_the_common_vocabulary_and_survive_decoding(tmp_path):
    marks = ("<|one|>", "<|two|>")
    tokenizer = build_tokenizer(marks, max_context=64)
    assert len(tokenizer) == len(language.VOCABULARY) + 2
    assert tokenizer.convert_tokens_to_ids(list(marks)) == [len(language.VOCABULARY), len(language.VOCABULARY) + 1]
    tokenizer.save_pretrained(tmp_path)
    ids = load_starter_tokenizer(tmp_path).encode("a <|two|>b", add_special_tokens=False)
    assert len(ids) == 4
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a <|two|>b"


def test_a_starter_of_another_curriculum_is_refused_for_want_of_marks(tmp_path):
    folder = make_tiny_model(tmp_path / "tiny")
    with pytest.raises(ModelError, match="was not taught the revise curriculum"):
        load(folder, curriculum="revise", task=PairSumTask())


def test_a_starter_is_not_made_for_a_task_that_nobody_teaches(tmp_path):
    with pytest.raises(ModelError, match="knows pair_sum only and was not taught arithmetic"):
        load_policy(
            ModelSpec(),
            task=ArithmeticTask(),
            curriculum="revise",
            models_dir=tmp_path,
            device="cpu",
            progress=lambda fraction, text: None,
        )


def test_rehearsal_shows_judging_and_the_rest_in_the_shares_asked_for(tmp_path):
    policy = load(make_tiny_model(tmp_path / "tiny"), curriculum="evolve", task=ArithmeticTask())
    evolve, domain = find_curriculum("evolve"), make_domain(ArithmeticTask())
    texts = rehearsal_texts(RehearsalSpec(rows=200, judge_share=0.75), evolve, domain, policy, random.Random(1))
    prompts = [policy.decode([text.prompt_ids])[0] for text in texts]
    proposals = sum(prompt.startswith(language.PROPOSE) for prompt in prompts)
    assert not any(prompt.startswith(language.SOLVE) for prompt in prompts)
    assert 30 < proposals < 70


def test_rehearsal_without_any_judging_shows_the_rest(tmp_path):
    policy = load(make_tiny_model(tmp_path / "tiny", curriculum="revise"), curriculum="revise", task=PairSumTask())
    revise, domain = find_curriculum("revise"), make_domain(PairSumTask())
    texts = rehearsal_texts(RehearsalSpec(rows=10, judge_share=1.0), revise, domain, policy, random.Random(1))
    assert len(texts) == 10


def test_an_unknown_curriculum_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="known curricula:"):
        find_curriculum("registry")


def test_a_spec_without_a_task_gets_the_method_s_first():
    assert parse_spec({"method": {"name": "score"}}).task == PairSumTask()
    assert parse_spec({"method": {"name": "mae"}}).task == ArithmeticTask()


def test_a_task_that_the_method_does_not_play_on_is_refused_at_its_field():
    with pytest.raises(SpecError, match="Multi-Agent Evolve does not play on pair_sum") as found:
        parse_spec({"method": {"name": "mae"}, "task": {"kind": "pair_sum"}})
    assert [error.path for error in found.value.errors] == ["task"]


def test_an_unknown_method_is_the_only_complaint():
    with pytest.raises(SpecError) as found:
        parse_spec({"method": {"name": "nobody"}})
    assert [error.path for error in found.value.errors] == ["method"]


def test_the_form_offers_only_the_tasks_of_the_method_its_first_by_default():
    field = find_field("score", "task")
    assert [variant.value for variant in field.variants] == list(find_method("score").tasks)
    assert field.default == {"kind": "pair_sum", "num_digits": 5}
