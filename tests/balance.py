"""Asks three replicas through HAProxy while one is killed and another restarted, again and again: nobody may notice.

    tests/balance.sh PATH/TO/more-r1 [--requests 10000]          three processes and HAProxy on loopback
    tests/docker/containers.sh PATH/TO/more-r1 [--requests N]    the same against compose's containers

Every question is asked alone first; every answer under load has to be 200, whole, and the same bytes in `relation` and `trace`.
Capacity is measured in a closed loop through the balancer, then questions come at 80 % of it, by the clock, whether or not the
earlier ones are answered; latency counts from the moment a question was due. Ends with 1 if any request failed, was cut short or
came back different, or if nothing was killed or restarted.

Standard library only. Not here: streams and batches, which nobody can repeat once they have begun; more than one client machine.
"""

import argparse
import base64
import csv
import http.client
import io
import itertools
import json
import math
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections import Counter

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Longer than HAProxy's queue and the service's deadline together: what ends by this is a failure, not impatience.
PATIENCE = 170


def questions(corpus: str | None = None) -> list[bytes]:
    """Bodies for POST /extract: of a corpus as `data synth` writes it, else the example's photo with several boxes and entities."""
    if corpus:
        folder = pathlib.Path(corpus)
        records = [json.loads(line) for line in (folder / "test.jsonl").open()]
        asked = [
            {
                "image": base64.b64encode((folder / "images" / record["img_id"]).read_bytes()).decode(),
                "text": record["text"],
                "box_format": "cxcywh",
                "bbox": [float(number) for number in record["t"]["pos"]],
                "entity": " ".join(record["h"]["name"]),
            }
            for record in records
        ]
        return [json.dumps(question).encode() for question in asked]
    photo = base64.b64encode((ROOT / "examples" / "photo.jpg").read_bytes()).decode()
    box, entity, text = (ROOT / "examples" / "question.txt").read_text().splitlines()[:3]
    left, top, right, bottom = (float(number) for number in box.split(","))
    # The example's box, wider, narrower, and the photo's corner: different crops, so different work.
    boxes = [[left, top, right, bottom], [left - 40, top - 30, right, bottom], [left, top, right - 20, bottom - 40], [0, 0, 120, 90]]
    entities = [entity, "Walter Finch", "Harlow Tigers"]
    return [
        json.dumps({"image": photo, "text": text, "bbox": box, "entity": entity}).encode()
        for box, entity in itertools.product(boxes, entities)
    ]


class Wrong(Exception):
    """An answer that is not what it should be; the argument is its kind for the table."""


def ask(address: tuple[str, int], body: bytes) -> dict:
    """One question on a connection of its own: a kept one could be closed under us, which would be the client's fault."""
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    try:
        connection.request("POST", "/extract", body, {"content-type": "application/json"})
        response = connection.getresponse()
        content = response.read()
    except http.client.IncompleteRead as error:
        raise Wrong("truncated", f"{len(error.partial)} bytes") from error
    except (OSError, http.client.HTTPException) as error:
        raise Wrong(type(error).__name__, str(error)) from error
    finally:
        connection.close()
    if response.status != 200:
        raise Wrong(f"status {response.status}", content[:200].decode(errors="replace"))
    try:
        answer = json.loads(content)
        return {"relation": answer["relation"], "trace": answer["trace"]}
    except (ValueError, KeyError) as error:
        raise Wrong("truncated", repr(content[-80:])) from error


def canonical(answer: dict) -> str:
    """What is compared: order of keys included, since the same service wrote both."""
    return json.dumps(answer, ensure_ascii=False)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else float("nan")


def capacity(address: tuple[str, int], bodies: list[bytes], clients: int, seconds: float) -> float:
    """Answers a second when `clients` ask one question after another."""
    until = time.monotonic() + seconds
    done = Counter()
    order = itertools.count()

    def client() -> None:
        while time.monotonic() < until:
            ask(address, bodies[next(order) % len(bodies)])
            if time.monotonic() < until:  # what ends late was not answered in the window
                done["answers"] += 1

    begin = time.monotonic()
    together([client] * clients)
    return done["answers"] / (min(until, time.monotonic()) - begin)


def together(works: list) -> None:
    """Runs each on a thread; the first failure is raised when all have ended."""
    failures = []

    def guarded(work) -> None:
        try:
            work()
        except BaseException as error:  # handed to the caller below
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Process:
    """A replica on loopback."""

    def __init__(self, name: str, binary: str, port: int, log: pathlib.Path, flags: list[str]) -> None:
        self.name, self.address, self.running = name, ("127.0.0.1", port), None
        self.command = [binary, "serve", "--listen", f"127.0.0.1:{port}", *flags]
        self.log = log.open("ab")

    def start(self) -> None:
        self.running = subprocess.Popen(self.command, stderr=self.log, stdout=self.log)

    def kill(self) -> None:
        self.running.send_signal(signal.SIGKILL)
        self.running.wait()

    def stop(self) -> None:
        """SIGTERM, and it has to end cleanly."""
        self.running.send_signal(signal.SIGTERM)
        code = self.running.wait(timeout=60)
        if code != 0:
            raise Wrong("unclean end", f"{self.name} ended with {code} after SIGTERM")

    def ready(self) -> bool:
        if self.running.poll() is not None:
            raise Wrong("unclean end", f"{self.name} ended with {self.running.returncode}")
        return ready(self.address)


class Container:
    """A replica in a container, by its name."""

    def __init__(self, name: str, docker: str) -> None:
        self.name, self.docker = name, docker

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        return subprocess.run([self.docker, *command], check=check, capture_output=True, text=True)

    def start(self) -> None:
        self.run("start", self.name)

    def kill(self) -> None:
        self.run("kill", "-s", "KILL", self.name)

    def stop(self) -> None:
        self.run("stop", "-t", "60", self.name)
        code = self.run("inspect", "-f", "{{.State.ExitCode}}", self.name).stdout.strip()
        if code != "0":
            raise Wrong("unclean end", f"{self.name} ended with {code} after SIGTERM")

    def ready(self) -> bool:
        return self.run("exec", self.name, "more-r1", "health", check=False).returncode == 0


def ready(address: tuple[str, int]) -> bool:
    """Whether a service takes questions."""
    connection = http.client.HTTPConnection(*address, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait(what: str, condition, seconds: float = 60) -> None:
    """Until it holds, or fails."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise Wrong("never ready", f"{what} within {seconds:.0f} s")
        time.sleep(0.05)


class Cores:
    """How many cores were busy, and with whom: figures count only where the others are near 0. `pids` gives the processes under test
    that live; those of our children that have ended are counted by the system."""

    def __init__(self, pids) -> None:
        self.pids = pids
        self.before = self.now()

    def now(self) -> tuple[float, float, float, float]:
        """Seconds of the machine, of what is under test, of this program, by the clock."""
        tick = os.sysconf("SC_CLK_TCK")
        fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        busy = (sum(fields) - fields[3] - fields[4]) / tick  # but idle and waiting for disks
        ended, mine = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
        tested = ended.ru_utime + ended.ru_stime
        for pid in self.pids():
            try:
                own = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # ended since it was listed
            tested += (int(own[11]) + int(own[12])) / tick
        return busy, tested, mine.ru_utime + mine.ru_stime, time.monotonic()

    def told(self) -> str:
        """Since the last time."""
        before, self.before = self.before, self.now()
        busy, tested, mine, seconds = (new - old for new, old in zip(self.before, before))
        shares = [("tested", tested), ("clients", mine), ("others", busy - tested - mine)]
        return "cores busy: " + ", ".join(f"{name} {max(0.0, share) / seconds:.2f}" for name, share in shares)


class Figures:
    """HAProxy's own counters, as CSV on its loopback port, fetched by `read`."""

    def __init__(self, read) -> None:
        self.read = read

    def rows(self) -> dict[str, dict]:
        lines = self.read().removeprefix("# ")
        return {row["svname"]: row for row in csv.DictReader(io.StringIO(lines)) if row["pxname"] == "replicas"}

    def up(self, name: str) -> bool:
        return self.rows()[name]["status"].startswith("UP")


class Chaos:
    """Kills a replica every `every` seconds and ends another by SIGTERM every one and a half times that, so that both sometimes fall
    together. The victims take turns. One replica is always left alone: without any there is no answer to wait for."""

    def __init__(self, replicas: list, figures: Figures, every: float, down: float) -> None:
        self.replicas, self.figures, self.every, self.down = replicas, figures, every, down
        self.free = list(replicas)
        self.lock = threading.Condition()
        self.over = threading.Event()
        self.done = Counter()
        self.log: list[str] = []

    def take(self):
        """The next victim, once another replica is left beside it."""
        with self.lock:
            while len(self.free) < 2 and not self.over.is_set():
                self.lock.wait(0.1)
            return None if self.over.is_set() else self.free.pop(0)

    def give(self, replica) -> None:
        """It is well again as soon as the balancer thinks so."""
        wait(replica.name, replica.ready)
        wait(f"{replica.name} at the balancer", lambda: self.figures.up(replica.name))
        with self.lock:
            self.free.append(replica)
            self.lock.notify_all()

    def killer(self) -> None:
        self.rounds(self.every / 2, self.every, "kills", self.kill_one)

    def restarter(self) -> None:
        self.rounds(1.5 * self.every, 1.5 * self.every, "restarts", self.restart_one)

    def rounds(self, first: float, every: float, name: str, work) -> None:
        # Kills after 5, 15, 25, … s and restarts after 15, 30, 45, … s when `every` is 10: each third kill meets a restart.
        due = time.monotonic() + first
        while not self.over.wait(max(0.0, due - time.monotonic())):
            due += every
            replica = self.take()
            if replica is not None:
                work(replica)
                self.done[name] += 1
                self.give(replica)

    def kill_one(self, replica) -> None:
        replica.kill()
        time.sleep(self.down)
        replica.start()

    def restart_one(self, replica) -> None:
        replica.stop()
        replica.start()


def load(address: tuple[str, int], bodies: list[bytes], alone: list[str], rate: float, requests: int) -> tuple[list, list, float]:
    """Asks `requests` questions, one every 1/`rate` seconds; gives latencies, failures, seconds."""
    order = itertools.count()
    latencies: list[float] = []
    failures: list[tuple[float, str, str]] = []
    begin = time.monotonic() + 0.5

    def client() -> None:
        while (index := next(order)) < requests:
            due = begin + index / rate
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                which = index % len(bodies)
                if canonical(ask(address, bodies[which])) != alone[which]:
                    raise Wrong("different", f"question {which}")
                latencies.append(time.monotonic() - due)
            except Wrong as error:
                failures.append((time.monotonic() - begin, *map(str, error.args)))

    # More than HAProxy lets in (3 x 32 and 96 waiting), so that clients are never what is short.
    together([client] * min(requests, 256))
    return latencies, failures, time.monotonic() - begin


def measure(address: tuple[str, int], alone_address: tuple[str, int], replicas: list, figures: Figures, pids, args: argparse.Namespace) -> int:
    """The whole run against replicas that are ready."""
    cores = Cores(pids)
    bodies = questions(args.corpus)[: args.questions]
    alone = [canonical(ask(alone_address, body)) for body in bodies]
    print(f"{len(bodies)} questions asked alone, {len(set(alone))} different answers", flush=True)
    rate = args.rate
    if not rate:
        capacity(address, bodies, 24, 3)  # fills the caches, so that the figure is not of a cold start
        peak = capacity(address, bodies, 24, args.capacity_seconds)
        if peak == 0:
            raise Wrong("no capacity", f"not one answer in {args.capacity_seconds:.0f} s; what else runs on this machine?")
        rate = 0.8 * peak
        print(f"capacity {peak:.1f} requests/s with 24 clients; asking {rate:.1f} a second; {cores.told()}", flush=True)

    if args.requests is None:
        args.requests = math.ceil(rate * 3.2 * args.kill_every)
    chaos = Chaos(replicas, figures, args.kill_every, args.down)
    before = figures.rows()["BACKEND"]
    result: list = []

    def clients() -> None:
        try:
            result.extend(load(address, bodies, alone, rate, args.requests))
        finally:
            chaos.over.set()

    together([clients, chaos.killer, chaos.restarter])
    latencies, failures, seconds = result
    after = figures.rows()["BACKEND"]
    counted = {name: int(after[key]) - int(before[key]) for name, key in [("retried", "wretr"), ("redispatched", "wredis")]}
    print(cores.told())
    kinds = Counter(kind for _, kind, _ in failures)
    cut = kinds["truncated"]
    table = [
        ("requests", args.requests),
        ("failed", len(failures) - cut),
        ("truncated", cut),
        ("kills (SIGKILL)", chaos.done["kills"]),
        ("restarts (SIGTERM)", chaos.done["restarts"]),
        *((f"{name} by HAProxy", count) for name, count in counted.items()),
        ("p50", f"{percentile(latencies, 0.5) * 1000:.0f} ms"),
        ("p99", f"{percentile(latencies, 0.99) * 1000:.0f} ms"),
        ("worst", f"{max(latencies, default=math.nan) * 1000:.0f} ms"),
        ("requests/s", f"{len(latencies) / seconds:.1f}"),
        ("seconds", f"{seconds:.0f}"),
    ]
    for name, value in table:
        print(f"{name:24} {value}")
    for kind, count in kinds.most_common():
        print(f"FAILED {count} x {kind}")
    for moment, kind, detail in failures[:10]:
        print(f"  at {moment:.1f} s: {kind}: {detail}")
    if not chaos.done["kills"] or not chaos.done["restarts"]:
        print("FAILED: nothing was killed or nothing restarted; ask more, or lower --kill-every")
        return 1
    return 1 if failures else 0


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now; taken together so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def fetch(address: tuple[str, int], path: str) -> str:
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("GET", path)
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def unwrap(sent: bytes) -> str:
    """The body of an answer that came as bare bytes."""

    class Bytes:
        def makefile(self, _mode: str) -> io.BytesIO:
            return io.BytesIO(sent)

    response = http.client.HTTPResponse(Bytes())
    response.begin()
    return response.read().decode()


def processes(args: argparse.Namespace) -> int:
    """Three processes and HAProxy on loopback."""
    work = pathlib.Path(tempfile.mkdtemp(prefix="balance-"))
    listen, stats, *ports = free_ports(5)
    flags = args.serve_flag or []
    replicas = [Process(f"replica-{n}", args.binary, port, work / f"replica-{n}.log", flags) for n, port in enumerate(ports, 1)]
    addresses = {f"REPLICA_{n}": f"127.0.0.1:{port}" for n, port in enumerate(ports, 1)}
    environment = os.environ | addresses | {"LISTEN": f"127.0.0.1:{listen}", "STATS": f"127.0.0.1:{stats}"}
    figures = Figures(lambda: fetch(("127.0.0.1", stats), "/;csv"))
    balancer = None
    code = 1
    try:
        for replica in replicas:
            replica.start()
        for replica in replicas:
            wait(replica.name, replica.ready)
        log = (work / "haproxy.log").open("ab")
        balancer = subprocess.Popen([args.haproxy, "-db", "-f", args.config], env=environment, stdout=log, stderr=log)
        wait("the balancer", lambda: ready(("127.0.0.1", listen)))
        pids = lambda: [balancer.pid, *(replica.running.pid for replica in replicas)]
        code = measure(("127.0.0.1", listen), replicas[0].address, replicas, figures, pids, args)
        if balancer.poll() is not None:
            print(f"FAILED: HAProxy ended with {balancer.returncode}")
            code = 1
    except Wrong as error:
        print("FAILED:", *error.args)
    finally:
        for child in [balancer, *(replica.running for replica in replicas)]:
            if child is not None and child.poll() is None:
                child.kill()
                child.wait()
        print(f"logs: {work}")
    return code


def containers(args: argparse.Namespace) -> int:
    """Containers that run already, behind a balancer that answers on --url."""
    url = urllib.parse.urlsplit(args.url)
    address = (url.hostname, url.port or 80)
    replicas = [Container(name, args.docker) for name in args.replica]
    balancer = Container(args.balancer, args.docker)
    # The figures are on the container's own loopback, and its image has no curl.
    script = "exec 3<>/dev/tcp/127.0.0.1/8404; printf 'GET /;csv HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n' >&3; cat <&3"
    command = [args.docker, "exec", balancer.name, "bash", "-c", script]
    figures = Figures(lambda: unwrap(subprocess.run(command, check=True, capture_output=True).stdout))
    names = {replica.name: f"replica-{n}" for n, replica in enumerate(replicas, 1)}
    up = figures.up
    figures.up = lambda name: up(names[name])
    try:
        for replica in replicas:
            wait(replica.name, replica.ready)
            wait(f"{replica.name} at the balancer", lambda: figures.up(replica.name))
        # Docker's processes are not ours to count: they appear among the others.
        return measure(address, address, replicas, figures, lambda: [], args)
    except Wrong as error:
        print("FAILED:", *error.args)
        return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, help="how many questions; 10000 is the full bar; without it, enough for three kills")
    parser.add_argument("--kill-every", type=float, default=10, help="seconds between two kills; restarts every 1.5 times that")
    parser.add_argument("--down", type=float, default=1, help="seconds for which a killed replica stays away")
    parser.add_argument("--rate", type=float, help="questions a second; without it 80 %% of the measured capacity")
    parser.add_argument("--capacity-seconds", type=float, default=10, help="how long capacity is measured")
    parser.add_argument("--corpus", help="a folder of `data synth` instead of the example")
    parser.add_argument("--questions", type=int, default=200, help="at most so many different ones")
    where = parser.add_subparsers(required=True)
    local = where.add_parser("processes", help="starts everything itself")
    local.add_argument("binary")
    local.add_argument("--haproxy", default="haproxy")
    local.add_argument("--config", default=str(ROOT / "docker" / "haproxy.cfg"))
    local.add_argument("--serve-flag", action="append", help="handed to `serve`, may come again")
    local.set_defaults(run=processes)
    remote = where.add_parser("containers", help="uses what runs")
    remote.add_argument("url")
    remote.add_argument("--docker", default="docker")
    remote.add_argument("--balancer", required=True, help="its container")
    remote.add_argument("--replica", action="append", required=True, help="a container; in the order of REPLICA_1, _2, _3")
    remote.set_defaults(run=containers)
    args = parser.parse_args()
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
