"""TensorBoard's own writer and reader against ours (train/src/events.rs). Needs `pip install tensorboard==2.21.0`.

    python events.py              writes events.bin, which the test of events.rs compares with
    python events.py RUN_DIR      prints what TensorBoard reads of a run: tag, then step and value of each point
"""

import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def write(path):
    def told(wall_time, step, scalars):
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars]
        return Event(wall_time=wall_time, step=step, summary=Summary(value=values))

    events = [
        Event(wall_time=1.5, file_version="brain.Event:2"),
        Event(wall_time=1.5, step=1, session_log=SessionLog(status=SessionLog.START)),
        told(2.25, 1, [("loss", 2.5), ("reward/format/mean", 0.0)]),
        told(1_732_206_000.125, 300, [("loss", 1 / 3), ("größer", -1e30)]),
    ]
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString(deterministic=True))


def read(run_dir):
    events = EventAccumulator(run_dir, size_guidance={"scalars": 0})
    events.Reload()
    for tag in sorted(events.Tags()["scalars"]):
        points = " ".join(f"{point.step}:{point.value:.6g}" for point in events.Scalars(tag))
        print(f"{tag}\t{points}")


if __name__ == "__main__":
    if sys.argv[1:]:
        read(sys.argv[1])
    else:
        write(Path(__file__).with_name("events.bin"))
