"""Packs runs of this machine as the example that new workspaces can look at: ``python -m bench.example KEY=FOLDER:TITLE ...``.

A folder is that of a run that has ended, with its ``spec.yaml`` and ``events.jsonl``; runs with one title are seeds of one experiment. Keys
name the files and their order. What was packed before is removed.

    python -m bench.example "1-judge-0=var/artifacts/runs/<id>:Example: the model judges itself" ...
"""

import argparse
import json
import sys
from pathlib import Path

from training_core.spec.io import load_file
from webapp.examples.recorded_runs import FOLDER, write


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="KEY=FOLDER:TITLE")
    wanted = parser.parse_args().runs
    for old in FOLDER.glob("*.gz"):
        old.unlink()
    for text in wanted:
        key, _, rest = text.partition("=")
        folder, _, title = rest.partition(":")
        spec = load_file(Path(folder) / "spec.yaml")
        events = list(map(json.loads, (Path(folder) / "events.jsonl").read_text(encoding="utf-8").splitlines()))
        path = write(key, experiment=title, spec=spec, events=events)
        print(f"{path.name:32} {len(events):6} events {path.stat().st_size / 1024:7.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
