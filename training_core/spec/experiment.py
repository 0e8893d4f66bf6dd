"""ExperimentSpec: everything needed to start a run, and to start it again."""

from typing import Annotated, Any

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from training_core.methods.registry import MethodSpec, find_method
from training_core.spec.base import Block, Unit
from training_core.spec.engine import EngineSpec, TransformersEngine
from training_core.spec.learner import LearnerSpec
from training_core.spec.model import ModelSpec, WeightsSpec
from training_core.spec.run import CheckpointSpec, EvaluationSpec, RecordingSpec, ResourceSpec
from training_core.spec.start import StartSpec
from training_core.spec.tasks import ArithmeticTask, TaskSpec


class ExperimentSpec(Block):
    """One experiment: a method, a model, a task and how to carry them out.

    Example: ``ExperimentSpec(name="First run", method={"name": "mae"})``.
    """

    name: Annotated[str, Field(min_length=1, max_length=120)] = "Untitled experiment"
    """What the experiment is called on the pages."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Same spec, same seed, same machine kind: same events and same weights."""
    steps: Annotated[int, Field(ge=1, le=10_000_000), Unit("steps")] = 300
    """Self-play steps: roll out, score, update."""
    method: SerializeAsAny[MethodSpec]
    """The self-play method and its knobs."""
    model: ModelSpec = ModelSpec()
    """The base model."""
    weights: WeightsSpec = WeightsSpec()
    """Which roles share weights."""
    start: StartSpec | None = None
    """Begin from a checkpoint of another run; empty begins anew."""
    task: TaskSpec = ArithmeticTask()
    """The task domain."""
    engine: EngineSpec = TransformersEngine()
    """How completions are generated."""
    learner: LearnerSpec = LearnerSpec()
    """How the update is computed."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """Held-out measurement."""
    checkpoint: CheckpointSpec = CheckpointSpec()
    """What is kept."""
    recording: RecordingSpec = RecordingSpec()
    """What is kept for reading."""
    resources: ResourceSpec = ResourceSpec()
    """What the run asks of a worker."""

    @model_validator(mode="before")
    @classmethod
    def _task_of_the_method(cls, value: Any) -> Any:
        """A spec that names no task gets the method's first."""
        if not isinstance(value, dict) or "task" in value:
            return value
        method = value.get("method")
        slug = method.get("name") if isinstance(method, dict) else getattr(method, "name", None)
        try:
            return {**value, "task": {"kind": find_method(str(slug)).tasks[0]}}
        except ValueError:  # the field itself says what is wrong with it
            return value

    @field_validator("method", mode="before")
    @classmethod
    def _method_by_name(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, MethodSpec):
            return value
        if not isinstance(value, dict) or "name" not in value:
            raise ValueError("a method is a mapping with its name and knobs, for example {name: mae}")
        return find_method(str(value["name"])).Spec.model_validate(value)

    @model_validator(mode="after")
    def _weights_fit(self) -> "ExperimentSpec":
        kind, roles = self.weights.kind, find_method(self.method.name).roles(self.method)
        if kind == "adapters" and self.model.adapter is None:
            raise ValueError("weights.kind is adapters, but model.adapter is empty; set model.adapter to lora")
        if kind == "separate" and self.model.adapter is not None:
            raise ValueError(
                "weights.kind is separate, which trains a whole model per role, but model.adapter asks for LoRA; "
                "empty model.adapter, or set weights.kind to adapters"
            )
        if kind != "shared" and not any(role.trained for role in roles):
            raise ValueError(
                f"weights.kind is {kind}, but no role of the method is trained; train one, or choose shared"
            )
        return self

    @model_validator(mode="after")
    def _steps_are_left(self) -> "ExperimentSpec":
        if self.start is not None and self.start.what == "everything" and self.start.step >= self.steps:
            raise ValueError(
                f"start goes on from step {self.start.step}, but steps is {self.steps}, so nothing would be left to do; "
                "raise steps, or set start.what to weights"
            )
        return self

    @field_validator("task", mode="after")
    @classmethod
    def _method_plays_on_the_task(cls, value: Any, info: ValidationInfo) -> Any:
        if "method" not in info.data:
            return value
        method = find_method(info.data["method"].name)
        if value.kind not in method.tasks:
            raise ValueError(
                f"{method.title} does not play on {value.kind}; set task.kind to {' or '.join(method.tasks)}"
            )
        return value

    @model_validator(mode="after")
    def _method_agrees(self) -> "ExperimentSpec":
        find_method(self.method.name).check(self)
        return self
