"""A checkpoint as a folder that transformers, vLLM and peft load, packed into one zip file without compression."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from training_core.distributed.parallel import Alone
from training_core.jobs.desk import Desk
from training_core.policies.files import save_policy
from training_core.policies.load import ModelError
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.io import dump_yaml, parse_spec
from training_core.spec.jobs import ExportJob


def run(job: ExportJob, desk: Desk) -> dict[str, Any]:
    """``{"file", "num_bytes", "files"}``; the file lies in the job's folder until it is tidied away."""
    policy = desk.load(job.weights)
    folder = desk.folder / "export" / job.file_name
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.parent.mkdir()
    desk.tell(None, "Writing the weights")
    if policy.adapter is not None and job.form == "merged":
        _save_merged(policy, folder)
    else:
        save_policy(policy, folder, parallel=Alone(), sharded=False)
        if policy.adapter is not None:
            _name_base(folder, job)
    (folder / "kumite.yaml").write_text(dump_yaml(parse_spec(job.weights.spec)), encoding="utf-8")
    if job.card:
        (folder / "README.md").write_text(job.card, encoding="utf-8")
    packed = _pack(folder, desk)
    files = sorted(path.name for path in folder.iterdir())
    shutil.rmtree(folder.parent)
    return {"file": packed.name, "num_bytes": packed.stat().st_size, "files": files}


def _save_merged(policy: LoadedPolicy, folder: Path) -> None:
    """The adapter is taken out again afterwards, so that the policy in memory stays what it was."""
    with policy.active():
        policy.model.merge_adapter([policy.adapter])
        try:
            base = policy.model.get_base_model()
            tensors = {
                name.replace(".base_layer.", "."): tensor.detach().contiguous()
                for name, tensor in base.state_dict().items()
                if "lora_" not in name
            }
            base.save_pretrained(folder, state_dict=tensors)
        finally:
            policy.model.unmerge_adapter()
    policy.tokenizer.save_pretrained(folder)


def _name_base(folder: Path, job: ExportJob) -> None:
    """An adapter must say whose it is: the hub id of the base, where it has one."""
    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError("The adapter's config could not be written.") from error
    config["base_model_name_or_path"] = parse_spec(job.weights.spec).model.source
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")


def _pack(folder: Path, desk: Desk) -> Path:
    packed = desk.folder / f"{folder.name}.zip"
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for number, path in enumerate(paths):
            desk.tell(number / len(paths), f"Packing {path.name}")
            archive.write(path, str(path.relative_to(folder.parent)))
    return packed
