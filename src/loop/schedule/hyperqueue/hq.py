"""The part of HyperQueue's program `hq` that nepal needs, by its Python package, which has no program.

Arguments: folder of the server (empty: the default), then `submit NAME CPUS SECONDS COUNT WORD...`, `jobs ID...`,
or `failed ID...`. An ID is that of a server and a job: a new server counts from 1 again.
"""

import json
import os
import sys
from pathlib import Path

# What went wrong in a line; the package's own text has its whole stack.
sys.excepthook = lambda kind, error, trace: print((str(error) or kind.__name__).splitlines()[0], file=sys.stderr)

from hyperqueue.client import Client  # noqa: E402
from hyperqueue.ffi.protocol import ResourceRequest  # noqa: E402
from hyperqueue.job import Job  # noqa: E402

folder, command, *words = sys.argv[1:]
folder = Path(folder or os.environ.get("HQ_SERVER_DIR") or Path.home() / ".hq-server")
access = folder / "hq-current" / "access.json"
if not access.exists():
    sys.exit(f"No running instance of HyperQueue: there is no {access}")
server = json.loads(access.read_text())["server_uid"]
client = Client(folder)


class Enough(Exception):
    pass


def own():
    """Numbers of the jobs of this server among the words."""
    return [int(number) for uid, _, number in (word.rpartition("-") for word in words) if uid == server]


def stats(number):
    """Counts of a job's tasks; the package tells them while it waits for the end, once at the beginning."""
    told = {}

    def tell(jobs):
        told.update(jobs)
        raise Enough

    try:
        client.connection.wait_for_jobs([number], tell)
    except Enough:
        pass
    return told.get(number)


if command == "submit":
    name, cpus, seconds, count, *program = words
    job = Job(name=name, max_fails=None)
    # The package's own number in HQ_TASK_ID begins with 0, that of `hq` as it is asked.
    for task in range(1, int(count) + 1):
        job.program(
            ["timeout", seconds, *program],
            env={"NEPAL_TASK": str(task)},
            stdout="/dev/null",
            stderr="/dev/null",
            resources=ResourceRequest(cpus=int(cpus)),
        )
    print(json.dumps({"id": f"{server}-{client.submit(job).id}"}))
elif command == "jobs":
    jobs = []
    for number in own():
        found = stats(number)
        if found:
            ended = found["finished"] + found["failed"]
            counts = {"finished": found["finished"], "failed": found["failed"], "canceled": 0}
            counts["waiting"] = found["total"] - ended
            jobs.append({"id": f"{server}-{number}", "task_stats": {**counts, "running": 0}})
    print(json.dumps(jobs))
elif command == "failed":
    # Tasks are counted from 0 there, and from 1 by `hq`.
    failed = {}
    for number in own():
        tasks = client.connection.get_failed_tasks([number]).get(number, {})
        listed = [{"id": task + 1, "state": "failed", "error": found.error} for task, found in tasks.items()]
        failed[f"{server}-{number}"] = listed
    print(json.dumps(failed))
