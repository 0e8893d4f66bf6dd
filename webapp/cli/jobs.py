"""Asking for a job and waiting for its outcome."""

import argparse
import time

from webapp.cli import screen
from webapp.cli.client import Api, Json
from webapp.cli.errors import CliError, Exit

_FIRST_LOOK_S, _LAST_LOOK_S = 0.2, 2.0


def weights(run_id: str, arguments: argparse.Namespace) -> Json:
    """The weights that --step and --policy name."""
    return {"run": run_id, "step": arguments.step, "policy": arguments.policy}


def outcome_of(api: Api, kind: str, payload: Json) -> Json:
    """Ask for a job and wait until it has succeeded."""
    return ended(api, api.post("jobs/", {"kind": kind, "payload": payload}))


def ended(api: Api, job: Json) -> Json:
    """A job that was asked for, once it has succeeded; raises ``CliError`` with its sentence otherwise. Ctrl-C stops it."""
    look_s, told = _FIRST_LOOK_S, ""
    try:
        while job["status"] in {"queued", "running"}:
            if job["text"] and job["text"] != told and look_s > 1:
                told = job["text"]
                screen.err.print(screen.clean(told), style="dim", markup=False)
            time.sleep(look_s)
            look_s = min(_LAST_LOOK_S, look_s * 1.2)
            job = api.get(f"jobs/{job['id']}/")
    except KeyboardInterrupt:
        api.post(f"jobs/{job['id']}/cancel/")
        raise
    if job["status"] != "succeeded":
        raise CliError(job["error"] or "The job was stopped.", Exit.FAILED)
    return job
