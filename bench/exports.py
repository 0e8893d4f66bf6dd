"""Whether others read the files our own writers make, and what they cost: ``python -m bench.exports``.

A Parquet file and an event file of many points are written by ``webapp/exports`` and read back, number by number, by pyarrow and pandas
(they come with MLflow's environment of ``bench.peers``) and by TensorBoard's own reader. Beside it stand the CPU seconds pyarrow takes to
write the same table, and the megabytes it would add to what Kumite installs.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.machine import describe
from bench.trackers.mlflow import MLflow
from bench.trackers.tensorboard import TensorBoard

RESULTS = Path(__file__).resolve().parent / "results" / "exports.json"
NUM_METRICS = 10
COLUMNS = {"run": str, "seq": int, "step": int, "t": float, "name": str, "value": float}

_READ_PARQUET = """
import json, sys, time
import pandas, pyarrow, pyarrow.parquet as pq
table = pq.read_table(sys.argv[1])
frame = pandas.read_parquet(sys.argv[1])
begin = time.process_time()
pq.write_table(table, sys.argv[1] + ".again", compression="gzip", row_group_size=20_000)
spent = time.process_time() - begin
expected = json.load(open(sys.argv[2]))
columns = {name: [row[place] for row in expected["rows"]] for place, name in enumerate(expected["columns"])}
assert table.to_pydict() == columns and frame.to_dict("list") == columns
from pathlib import Path
size = sum(path.stat().st_size for path in Path(pyarrow.__file__).parent.rglob("*") if path.is_file())
print(json.dumps({"pyarrow": pyarrow.__version__, "pandas": pandas.__version__, "pyarrow_mb": round(size / 1e6),
                  "pyarrow_cpu_s": round(spent, 3)}))
"""
_READ_EVENTS = """
import json, struct, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
found.Reload()
expected = {}
for _, _, step, t, name, value in json.load(open(sys.argv[2]))["rows"]:
    expected.setdefault(name, []).append((t, step, struct.unpack("<f", struct.pack("<f", value))[0]))
assert {name: [(one.wall_time, one.step, one.value) for one in found.Scalars(name)] for name in found.Tags()["scalars"]} == expected
print(json.dumps({"tensorboard_reads": sum(map(len, expected.values()))}))
"""


def rows(num_points: int) -> Iterator[tuple[str, int, int, float, str, float]]:
    for step in range(num_points // NUM_METRICS):
        for place in range(NUM_METRICS):
            yield "run-é", step + 1, step, 1769000000.0 + step / 3, f"area/metric_{place}", math.sin(step / 97 + place)


def read_by(python: str, program: str, *arguments: Path) -> dict[str, Any]:
    """What the program found out; it ends with an error where it reads something else than was written."""
    done = subprocess.run([python, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"read back differently: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(folder: Path, num_points: int) -> dict[str, Any]:
    os.environ |= {"KUMITE_VAR": str(folder), "DJANGO_SETTINGS_MODULE": "webapp.settings"}
    import django

    django.setup()
    from webapp.exports.event_files import opening, record, scalars
    from webapp.exports.parquet import parquet

    points = list(rows(num_points))
    expected, table, events = folder / "rows.json", folder / "points.parquet", folder / "events.out.tfevents.1.kumite"
    expected.write_text(json.dumps({"columns": list(COLUMNS), "rows": points}), encoding="utf-8")
    begin = time.process_time()
    table.write_bytes(b"".join(parquet(COLUMNS, points)))
    parquet_s, begin = time.process_time() - begin, time.process_time()
    said = [points[at : at + NUM_METRICS] for at in range(0, len(points), NUM_METRICS)]
    lines = (record(scalars(of[0][3], of[0][2], {name: value for *_, name, value in of})) for of in said)
    events.write_bytes(b"".join([opening(), *lines]))
    events_s = time.process_time() - begin
    pyarrow, tensorboard = MLflow(folder), TensorBoard(folder)
    pyarrow.install()
    tensorboard.install()
    return {
        "points": len(points),
        "parquet_cpu_s": round(parquet_s, 3),
        "parquet_kb": round(table.stat().st_size / 1000),
        "event_file_cpu_s": round(events_s, 3),
        **read_by(pyarrow.python, _READ_PARQUET, table, expected),
        **read_by(tensorboard.python, _READ_EVENTS, events, expected),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200_000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kumite-exports-") as name:
        found = measure(Path(name), options.points)
    report = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": describe(), **found}
    print(json.dumps(report, indent=2))
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
