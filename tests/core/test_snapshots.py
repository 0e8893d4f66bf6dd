"""Snapshots: how they begin, the arithmetic of blends, who hears of it, and runs that keep some."""

import shutil
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from tests.core.engine_models import ask, make_model, make_policy
from tests.core.test_runner import facts, read
from tests.own_methods import known_as
from tests.shadow import DECAY, Shadow
from tests.tiny_model import make_tiny_model, spec_of
from training_core import checkpoints
from training_core.engines.replicated import ReplicaEngine
from training_core.engines.transformers import TransformersEngine
from training_core.methods.base import Role, Snapshot
from training_core.play.records import Blend
from training_core.policies.files import ADAPTER_FILE
from training_core.policies.load import with_adapters
from training_core.policies.loaded import LoadedPolicy
from training_core.policies.roster import Roster
from training_core.policies.snapshots import carry_out, take_snapshot
from training_core.runner import Run
from training_core.spec.casting import Cast, cast
from training_core.spec.estimate import estimate
from training_core.spec.events import RunPhase
from training_core.spec.model import LoraSpec

LORA = {"rank": 4, "dropout": 0.1}
ONE_SNAPSHOT = (Snapshot(name="past", of="player", reference=True),)


@pytest.fixture(scope="module", autouse=True)
def known():
    with known_as("shadow", Shadow):
        yield


def disturb(policy: LoadedPolicy, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in policy.trained_parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def plain() -> LoadedPolicy:
    return make_policy(make_model("qwen2"))


def adapted() -> LoadedPolicy:
    policy = make_policy(with_adapters(make_model("qwen2"), LoraSpec(rank=2, dropout=0.5), ["main"]), adapter="main")
    policy.model.eval()
    disturb(policy)
    return policy


MAKERS = pytest.mark.parametrize("make", [plain, adapted])


def logits(policy: LoadedPolicy) -> torch.Tensor:
    with torch.no_grad(), policy.active():
        return policy.model(torch.tensor([[3, 1, 4, 1, 5]])).logits


# How they begin


@MAKERS
def test_a_snapshot_is_a_frozen_copy_that_stays_when_the_policy_moves(make):
    policy = make()
    snapshot = take_snapshot(policy, "past")
    before = logits(policy)
    assert torch.equal(logits(snapshot), before)
    assert not any(parameter.requires_grad for parameter in snapshot.tensors().values())
    disturb(policy, seed=2)
    assert torch.equal(logits(snapshot), before)
    assert not torch.equal(logits(policy), before)
    assert {t.data_ptr() for t in snapshot.tensors().values()}.isdisjoint(
        t.data_ptr() for t in policy.tensors().values()
    )


def test_a_snapshot_of_an_adapter_shares_the_model_and_drops_nothing_in_training_mode():
    policy = adapted()
    snapshot = take_snapshot(policy, "past")
    assert snapshot.model is policy.model
    policy.model.train()
    assert torch.equal(logits(snapshot), logits(snapshot))
    assert not torch.equal(logits(policy), logits(policy))


def test_taking_a_snapshot_leaves_the_generator_and_the_trained_adapter_alone():
    policy = adapted()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    take_snapshot(policy, "past")
    assert torch.equal(torch.rand(1), expected)
    with policy.active():
        assert all(parameter.requires_grad for _, parameter in policy.trained_parameters())


def test_an_adapter_cannot_be_called_like_a_part_of_the_model():
    policy = adapted()
    with pytest.raises(ValueError, match="cannot be called 'layers'"):
        take_snapshot(policy, "layers")


# Blends


def constant(policy: LoadedPolicy, value: float) -> LoadedPolicy:
    with torch.no_grad():
        for tensor in policy.tensors().values():
            tensor.fill_(value)
    return policy


def values(policy: LoadedPolicy) -> set[float]:
    return {float(value) for tensor in policy.tensors().values() for value in (tensor.min(), tensor.max())}


@MAKERS
def test_blends_are_weighted_sums_carried_out_in_order(make):
    main = make()
    policies = {"main": main, "past": take_snapshot(main, "past"), "average": take_snapshot(main, "average")}
    for name, value in {"main": 4.0, "past": 2.0, "average": -8.0}.items():
        constant(policies[name], value)
    blends = [
        Blend(into="average", parts={"average": 0.75, "main": 0.25}),
        Blend(into="main", parts={"main": 1.5, "past": -0.5}),
        Blend(into="past", parts={"main": 1.0}),
    ]
    assert carry_out(blends, policies, moving=policies) == {"main", "past", "average"}
    assert [values(policies[name]) for name in ("average", "main", "past")] == [{-5.0}, {5.0}, {5.0}]


def test_sums_of_bfloat16_weights_are_rounded_once():
    """bfloat16 goes from 256 to 258 in one step, so that 256 + 1 is rounded to 256 again."""
    main = make_policy(make_model("qwen2").to(torch.bfloat16))
    policies = {"main": main, "past": take_snapshot(main, "past"), "sum": take_snapshot(main, "sum")}
    for name, value in {"main": 256.0, "past": 1.0, "sum": 1.0}.items():
        constant(policies[name], value)
    carry_out([Blend(into="sum", parts=dict.fromkeys(policies, 1.0))], policies, moving=policies)
    assert values(policies["sum"]) == {258.0}


def test_a_blend_keeps_tied_weights_tied_and_what_is_trained_trainable():
    main = plain()
    past = take_snapshot(main, "past")
    disturb(main, seed=3)
    carry_out([Blend(into="past", parts={"main": 1.0})], {"main": main, "past": past}, moving=("past",))
    assert past.model.lm_head.weight is past.model.model.embed_tokens.weight
    assert torch.equal(logits(past), logits(main))
    carry_out([Blend(into="main", parts={"main": 2.0, "past": -1.0})], {"main": main, "past": past}, moving=("main",))
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in main.model.parameters())


@pytest.mark.parametrize(
    ("blend", "part"),
    [
        (Blend(into="start", parts={"main": 1.0}), "is to change 'start'; this run can change main"),
        (Blend(into="main", parts={"elsewhere": 1.0}), "made of \\['elsewhere'\\]; this run has main, start"),
        (Blend(into="main", parts={}), "made of \\[\\]"),
    ],
)
def test_blends_of_policies_that_are_not_there_are_refused(blend, part):
    main = plain()
    with pytest.raises(ValueError, match=part):
        carry_out([blend], {"main": main, "start": main}, moving=("main",))


# Engines


def cast_of(*names: str) -> Cast:
    snapshots = dict.fromkeys(names, "main")
    return Cast(
        policy_of={"player": "main"}, trained=("main",), snapshots=snapshots, references={}, speakers=("main", *names)
    )


def gap(engine, policy: LoadedPolicy, name: str) -> float:
    """Largest difference between log-probs of a completion and those of the policy's model."""
    (completion,) = engine.generate([ask("hello", policy=name, max_tokens=12)])[0]
    ids = torch.tensor([[*completion.prompt_ids, *completion.token_ids]])
    with torch.no_grad(), policy.active():
        logp = policy.model(ids).logits[0, len(completion.prompt_ids) - 1 : -1].log_softmax(-1)
    logp = logp.gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
    return float((logp - torch.tensor(completion.logprobs)).abs().max())


def own_engine(roster: Roster) -> TransformersEngine:
    return TransformersEngine(roster.speakers, max_batch=8)


def replica_engine(roster: Roster) -> ReplicaEngine:
    return ReplicaEngine(roster, max_batch=8, max_cache_mib=64)


@MAKERS
@pytest.mark.parametrize("make_engine", [own_engine, replica_engine])
def test_every_policy_speaks_with_its_own_weights_before_and_after_blends(make, make_engine):
    main = make()
    policies = {"main": main, "past": take_snapshot(main, "past"), "average": take_snapshot(main, "average")}
    roster = Roster(cast=cast_of("past", "average"), policies=policies)
    engine = make_engine(roster)
    for round_ in range(2):
        disturb(main, seed=round_)
        blends = [
            Blend(into="average", parts={"average": 0.5, "main": 0.5}),
            Blend(into="past", parts={"main": 1.0}),
        ][: 2 - round_ % 2]
        engine.publish(round_ + 1, blended=carry_out(blends, policies, moving=policies))
        assert all(gap(engine, policy, name) < 2e-5 for name, policy in policies.items())
    assert len({float(logits(policy).sum()) for policy in policies.values()}) == 3


def test_fused_copies_of_a_snapshot_are_never_those_of_the_policy():
    main = plain()
    engine = TransformersEngine({"main": main, "past": take_snapshot(main, "past")}, max_batch=8)
    engine.generate([ask("hello", policy=name) for name in ("main", "past")])
    held = [
        {tensor.data_ptr() for layer in decoder._layers for tensor in vars(layer).values() if torch.is_tensor(tensor)}
        | {decoder._embedding_VH.data_ptr(), decoder._norm_H.data_ptr()}
        for decoder in engine._decoders.values()
    ]
    assert len(held) == 2
    assert held[0].isdisjoint(held[1])


def test_a_replica_shares_a_snapshot_in_one_piece_and_holds_adapters_twice():
    main = plain()
    past = take_snapshot(main, "past")
    roster = Roster(cast=cast_of("past"), policies={"main": main, "past": past})
    twin = ReplicaEngine(roster, max_batch=8, max_cache_mib=64)._replica.policies["past"]
    assert twin.model is not past.model
    assert all(
        a.data_ptr() == b.data_ptr() for a, b in zip(twin.tensors().values(), past.tensors().values(), strict=True)
    )
    main = adapted()
    past = take_snapshot(main, "past")
    roster = Roster(cast=cast_of("past"), policies={"main": main, "past": past})
    twin = ReplicaEngine(roster, max_batch=8, max_cache_mib=64)._replica.policies["past"]
    assert {t.data_ptr() for t in twin.tensors().values()}.isdisjoint(t.data_ptr() for t in past.tensors().values())


# Casting


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


def spec(model, *, moves=True, adapter=None, **changes):
    method = {
        "name": "shadow",
        "moves": moves,
        "sampling": {"max_tokens": 8},
        "optimizer": {"lr": 1e-2},
    }
    source = {"source": str(model), "adapter": adapter}
    return spec_of(model, method=method, model=source, **{"steps": 4, "checkpoint": {"every": 1, "keep": 9}, **changes})


def test_casting_names_speakers_snapshots_and_references(model):
    found = cast(spec(model))
    assert found.policy_of == {"player": "main", "rival": "past"}
    assert found.trained == ("main",)
    assert found.snapshots == {"iterate": "main", "average": "main", "past": "main"}
    assert found.references == {"main": "iterate"}
    assert found.speakers == ("main", "past", "average")
    assert not found.needs_start


def test_with_weights_of_its_own_a_role_is_copied_under_its_name_and_a_rival_stays_what_it_is(model):
    found = cast(spec(model, weights={"kind": "separate"}))
    assert found.policy_of == {"player": "player", "rival": "past"}
    assert set(found.snapshots.values()) == {"player"}
    assert found.references == {"player": "iterate"}


@pytest.mark.parametrize(
    ("snapshots", "part"),
    [
        ([Snapshot(name="start", of="player")], "cannot be called 'start'"),
        ([Snapshot(name="main", of="player")], "cannot be called 'main'"),
        ([Snapshot(name="a.b", of="player")], "cannot be called 'a.b'"),
        ([Snapshot(name="a", of="player"), Snapshot(name="a", of="player")], "cannot be called 'a'"),
        ([Snapshot(name="a", of="nobody")], "the role 'nobody', which no trained policy plays"),
        ([Snapshot(name="a", of="rival")], "the role 'rival', which no trained policy plays"),
        (
            [Snapshot(name="a", of="player", reference=True), Snapshot(name="b", of="player", reference=True)],
            "2 snapshots claim to be the reference of the policy main",
        ),
    ],
)
def test_snapshots_that_cannot_be_are_refused(snapshots, part, model, monkeypatch):
    rival = Role(name="rival", title="", policy="start", trained=False, reads="", writes="")
    roles = (*Shadow.roles(None)[:1], rival)
    asked = spec(model)
    monkeypatch.setattr(Shadow, "roles", classmethod(lambda cls, spec: roles))
    monkeypatch.setattr(Shadow, "snapshots", classmethod(lambda cls, spec: tuple(snapshots)))
    with pytest.raises(ValueError, match=part):
        cast(asked)


def test_the_estimate_counts_snapshots_and_names_them(monkeypatch):
    asked = spec("owner/model-7B")
    found = estimate(asked)
    assert any("3 further sets of weights: iterate, average, past" in note for note in found.notes)
    monkeypatch.setattr(Shadow, "snapshots", classmethod(lambda cls, spec: ONE_SNAPSHOT))
    fewer = estimate(asked)
    assert found.memory_bytes - fewer.memory_bytes == pytest.approx(2 * 7e9 * 4 * 1.2)


# Runs


def saved(folder, policy, step):
    place = folder / "checkpoints" / f"step-{step:06d}" / checkpoints.policy_folder(policy)
    return load_file(next(place.glob("*model.safetensors")))


def equal(left, right):
    return left.keys() == right.keys() and all(left[name].equal(right[name]) for name in left)


KINDS = pytest.mark.parametrize(
    ("player", "changes"),
    [
        ("main", {}),
        ("player", {"weights": {"kind": "separate"}}),
        ("player", {"weights": {"kind": "adapters"}, "adapter": LORA, "learner": {"ahead": 1}}),
    ],
    ids=["one", "separate", "adapters ahead"],
)


@KINDS
def test_snapshots_follow_their_blends_and_runs_resume_bit_by_bit(player, changes, model, tmp_path):
    asked = spec(model, **changes)
    assert Run(asked, tmp_path / "whole").execute() is RunPhase.SUCCEEDED
    steps = [
        {name: saved(tmp_path / "whole", name, step) for name in (player, "iterate", "average", "past")}
        for step in range(1, 5)
    ]
    for before, after in pairwise(steps):
        assert equal(after["iterate"], after[player])
        assert equal(after["past"], before[player])
        assert not equal(after["past"], after[player])
        for name, tensor in after["average"].items():
            assert tensor.equal(DECAY * before["average"][name] + (1 - DECAY) * after[player][name])
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    for step in (3, 4):
        shutil.rmtree(tmp_path / "parts" / "checkpoints" / f"step-{step:06d}")
    assert Run(asked, tmp_path / "parts").execute(resume=True) is RunPhase.SUCCEEDED
    assert all(equal(saved(tmp_path / "parts", name, 4), tensors) for name, tensors in steps[3].items())
    whole, parts = (facts(tmp_path / name) for name in ("whole", "parts"))
    assert [fact for fact in whole if fact["step"] == 4] == [fact for fact in parts if fact["step"] == 4]


@pytest.mark.parametrize("adapter", [None, {"rank": 4}])
def test_the_reference_is_the_snapshot(adapter, model, tmp_path):
    """A reference that is what the step began with has a divergence of 0; one that stays behind has not."""
    for name, moves in (("moves", True), ("stays", False)):
        Run(spec(model, moves=moves, adapter=adapter, steps=2), tmp_path / name).execute()
    following = dict(Run(None, tmp_path / "moves").series("kl/policy_start"))
    left = dict(Run(None, tmp_path / "stays").series("kl/policy_start"))
    assert all(abs(value) < 1e-6 for value in following.values())
    assert left[1] < 1e-6 < 1e-5 < left[2]


def test_a_snapshot_of_a_checkpoint_can_be_loaded_as_a_model(model, tmp_path):
    Run(spec(model, steps=2), tmp_path / "run").execute()
    folder = tmp_path / "run" / "checkpoints" / "step-000002" / checkpoints.policy_folder("average")
    found = Run(spec(folder, steps=1), tmp_path / "again")
    assert found.execute() is RunPhase.SUCCEEDED
    assert Run(None, tmp_path / "again").series("eval/main")[0][1] == pytest.approx(
        Run(None, tmp_path / "run").series("eval/average")[-1][1], abs=1e-5
    )


def test_a_checkpoint_of_other_snapshots_is_refused(model, tmp_path, monkeypatch):
    Run(spec(model, steps=1), tmp_path).execute()
    monkeypatch.setattr(Shadow, "snapshots", classmethod(lambda cls, spec: ONE_SNAPSHOT))
    assert Run(spec(model), tmp_path).execute(resume=True) is RunPhase.FAILED
    data = read(tmp_path)[-1]["data"]
    assert data["failure"] == "model"
    assert "holds the snapshots iterate, average, past, but the spec keeps past" in data["text"]


def test_an_adapters_snapshot_is_saved_as_an_adapter(model, tmp_path):
    Run(spec(model, steps=1, adapter=LORA), tmp_path).execute()
    place = tmp_path / "checkpoints" / "step-000001" / checkpoints.policy_folder("past")
    assert (place / ADAPTER_FILE).exists()
    assert (place / "adapter_config.json").exists()
