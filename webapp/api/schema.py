"""Puts the JSON Schema of ``ExperimentSpec`` into the OpenAPI document, with every registered method's knobs."""

from typing import Any

from training_core.methods.registry import all_methods
from training_core.spec.experiment import ExperimentSpec

SPEC_REF = {"$ref": "#/components/schemas/ExperimentSpec"}
_TEMPLATE = "#/components/schemas/{model}"


def spec_components() -> dict[str, Any]:
    """Component schemas by name; ``MethodSpec`` is the union of the methods' own knobs, told apart by ``name``."""
    root = ExperimentSpec.model_json_schema(ref_template=_TEMPLATE)
    components: dict[str, Any] = root.pop("$defs")
    choices: dict[str, str] = {}
    for method in all_methods():
        schema = method.Spec.model_json_schema(ref_template=_TEMPLATE)
        components |= schema.pop("$defs", {})
        components[method.Spec.__name__] = schema
        choices[method.slug] = _TEMPLATE.format(model=method.Spec.__name__)
    components["MethodSpec"] = {
        "title": "MethodSpec",
        "description": "A self-play method and its knobs.",
        "oneOf": [{"$ref": ref} for ref in choices.values()],
        "discriminator": {"propertyName": "name", "mapping": choices},
    }
    return {**components, "ExperimentSpec": root}


def add_spec_components(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook of drf-spectacular."""
    schemas: dict[str, Any] = result.setdefault("components", {}).setdefault("schemas", {})
    added = spec_components()
    if clash := schemas.keys() & added.keys():
        raise ValueError(f"the API and the spec both define {', '.join(sorted(clash))}")
    result["components"]["schemas"] = dict(sorted({**schemas, **added}.items()))
    return result
