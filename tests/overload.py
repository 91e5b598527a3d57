"""Offers one service ten times what it can answer and looks whether it goes on as if nothing were.

    python3 tests/overload.py PATH/TO/more-r1 [--seconds 120]
    python3 tests/overload.py --url http://127.0.0.1:8080 --pid PID [--seconds 120]

Four phases: the peak (a closed loop that keeps the house full), 80 % of it by the clock, ten times it by the clock, the peak again: machines
have fast and slow minutes, so the storm is compared with the mean of before and after. Held up against the bar: goodput at
least 95 % of the peak; p99 of accepted questions at most twice its value at 80 % plus the time a full house takes; everybody else
gets 429 with `retry-after`, at once; resident memory flat. Ends with 1 when one of them is missed.

Standard library only. Not here: HAProxy, which would queue and turn away before the service does; other machines: the clients
share the cores with the service, so they write prepared bytes to bare sockets to take as little as possible.
"""

import argparse
import contextlib
import os
import pathlib
import random
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections import Counter

from balance import PATIENCE, Cores, Process, free_ports, percentile, questions, wait

# "At once", p99. An idle service says 429 in a millisecond; here the clients and the model share the cores, and the scheduler gives
# a turn after some tens.
AT_ONCE = 0.25


def packet(host: str, body: bytes) -> bytes:
    """A whole request."""
    head = f"POST /extract HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def outcome(answer: bytes) -> str | None:
    """What became of a request: its status once the answer is whole."""
    head, _, body = answer.partition(b"\r\n\r\n")
    head = head.lower()
    begin = head.find(b"\r\ncontent-length:")
    if begin < 0 or not head.startswith(b"http/1.1 "):
        return None
    length = head[begin + 17 :].split(b"\r\n", 1)[0]
    if int(length) != len(body):
        return None
    status = head[9:12].decode()
    if status == "429" and b"\r\nretry-after:" not in head:
        return "429 without retry-after"
    return status


class Connection:
    """Carries one request after another, as a balancer's connections do."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.connect_ex(address)
        self.request, self.left, self.answer, self.start, self.fresh = b"", memoryview(b""), b"", 0.0, True

    def ask(self, request: bytes, start: float) -> None:
        """Begins a request."""
        self.request, self.left, self.answer, self.start = request, memoryview(request), b"", start
        self.write()  # on loopback there is a connection already, and as a rule room for the whole request

    def write(self) -> None:
        """Writes what can be. What is wrong with the connection shows where the answer is read."""
        with contextlib.suppress(OSError):
            while self.left:
                self.left = self.left[self.socket.send(self.left) :]

    def read(self) -> str | None:
        """Reads what is there; tells what became of the request once it has ended."""
        try:
            piece = self.socket.recv(65536)
        except BlockingIOError:
            return None
        except OSError as error:
            return type(error).__name__
        self.answer += piece
        return outcome(self.answer) or (None if piece else "cut short" if self.answer else "closed")


# An empty house takes a moment to fill: rates count from here on, in every phase.
RAMP = 3.0


# Where questions come by the clock, the clients look at it so often: what is due goes out together, and answers are read together.
# To be woken for each took 0.05 to 0.07 of two cores at 400 questions a second, and as much again of the service, whose steps are
# interrupted every time (`docs/log.md`). A 429 seems up to this much slower than it is.
TICK = 0.01


class Phase:
    """What happened in a phase: for every outcome its latencies."""

    def __init__(self) -> None:
        self.latencies: dict[str, list[float]] = {}
        self.ends: list[float] = []
        self.late = 0.0

    def add(self, outcome: str, latency: float) -> None:
        self.latencies.setdefault(outcome, []).append(latency)
        if outcome == "200":
            self.ends.append(time.monotonic())

    def count(self) -> Counter:
        return Counter({outcome: len(times) for outcome, times in self.latencies.items()})

    def p99(self, outcome: str) -> float:
        return percentile(self.latencies.get(outcome, []), 0.99)

    def goodput(self, begin: float, end: float) -> float:
        """Whole answers a second that ended within the window, without its ramp."""
        begin = min(begin + RAMP, (begin + end) / 2)
        return sum(begin <= moment < end for moment in self.ends) / (end - begin)


class Clients:
    """Everybody who asks. One thread for all: they have the service's cores, so they take as little as they can."""

    def __init__(self, address: tuple[str, int], waiting: select.epoll, phase: Phase) -> None:
        self.address, self.waiting, self.phase = address, waiting, phase
        self.open: dict[int, Connection] = {}
        self.busy: set[int] = set()
        self.idle: list[int] = []

    def ask(self, request: bytes, start: float) -> None:
        """Over a connection that waits, or a new one."""
        if self.idle:
            number = self.idle.pop()
            connection = self.open[number]
            connection.fresh = False
            connection.ask(request, start)
            if connection.left:
                self.waiting.modify(number, select.EPOLLIN | select.EPOLLOUT)
        else:
            connection = Connection(self.address)
            number = connection.socket.fileno()
            self.open[number] = connection
            connection.ask(request, start)
            self.waiting.register(number, select.EPOLLIN | (select.EPOLLOUT if connection.left else 0))
        self.busy.add(number)

    def turn(self, pause: float) -> None:
        """Sleeps so long, waits until something can be done, and does it."""
        time.sleep(pause)
        for number, events in self.waiting.poll(0.0 if pause else 0.05):
            connection = self.open[number]
            if events & select.EPOLLOUT:
                connection.write()
                if not connection.left:
                    self.waiting.modify(number, select.EPOLLIN)
            if not events & ~select.EPOLLOUT:
                continue
            if number not in self.busy:  # the service has closed a connection that nobody uses
                self.idle.remove(number)
                self.drop(number)
            elif told := connection.read():
                self.end(number, told)

    def end(self, number: int, told: str) -> None:
        """Notes how a request ended; its connection waits for the next."""
        self.busy.remove(number)
        connection = self.open[number]
        if told[:3].isdecimal() and not connection.left:
            self.idle.append(number)
        else:
            self.drop(number)
            if told in {"closed", "ConnectionResetError"} and not connection.fresh and not connection.answer:
                # It was closed before the request came: nobody has seen it, so any client would send it again.
                self.ask(connection.request, connection.start)
                return
        # From the start, not from when it was due: the figure is the service's; `late` says whether the clients kept up.
        self.phase.add(told, time.monotonic() - connection.start)

    def drop(self, number: int) -> None:
        self.open.pop(number).socket.close()  # which `waiting` sees by itself

    def give_up(self, now: float) -> None:
        """Ends what takes too long."""
        for number in [number for number in self.busy if now - self.open[number].start > PATIENCE]:
            self.end(number, "timeout")


def drive(address: tuple[str, int], requests: list[bytes], seconds: float, clients: int = 0, rate: float = 0.0) -> tuple[Phase, float]:
    """Either `clients` ask one question after another, or `rate` questions come a second, whatever becomes of them. Gives the phase and
    answers a second."""
    phase, count, lot = Phase(), 0, random.Random(0)
    begin = time.monotonic() + (0.5 if rate else 0.0)
    until, looked = begin + seconds, begin
    with select.epoll() as waiting:
        asking = Clients(address, waiting, phase)
        while (now := time.monotonic()) < until or asking.busy:
            pause = 0.0
            # Neighbours have much in common, and in a storm one in ten comes in: by lot, so that they meet as often in every phase.
            if now < until and rate:
                while (due := begin + count / rate) <= now:
                    phase.late = max(phase.late, now - due)
                    asking.ask(lot.choice(requests), now)
                    count += 1
                pause = TICK
            elif now < until:
                while len(asking.busy) < clients:
                    asking.ask(lot.choice(requests), now)
                    count += 1
            asking.turn(pause)
            if now - looked > 1.0:
                looked = now
                asking.give_up(now)
        for number in list(asking.open):
            asking.drop(number)
    return phase, phase.goodput(begin, until)


class Memory:
    """Resident memory of a process in MiB, every half second."""

    def __init__(self, pid: int) -> None:
        self.status = pathlib.Path(f"/proc/{pid}/status")
        self.samples: list[float] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def now(self) -> float:
        line = next(line for line in self.status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def watch(self) -> None:
        while not self.over.wait(0.5):
            self.samples.append(self.now())

    def __enter__(self):
        self.samples.append(self.now())
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.thread.join()
        self.samples.append(self.now())


def measure(address: tuple[str, int], pid: int, args: argparse.Namespace) -> int:
    """The three phases and the verdict."""
    host = f"{address[0]}:{address[1]}"
    requests = [packet(host, body) for body in questions(args.corpus)[:200]]
    drive(address, requests, 3, clients=args.clients)  # caches and allocator warm
    cores = Cores(lambda: [pid])
    peaks, peak = drive(address, requests, args.peak_seconds, clients=args.clients)
    print(f"peak         {peak:6.1f} answers/s, {args.clients} clients, {dict(peaks.count())}; {cores.told()}", flush=True)
    calm, goodput = drive(address, requests, args.peak_seconds, rate=0.8 * peak)
    print(f"80 %         {goodput:6.1f} answers/s, p99 {calm.p99('200'):.2f} s, {dict(calm.count())}; {cores.told()}", flush=True)
    with Memory(pid) as memory:
        storm, goodput = drive(address, requests, args.seconds, rate=args.times * peak)
    print(f"{args.times:.0f} x for {args.seconds:.0f} s {goodput:5.1f} answers/s, p99 {storm.p99('200'):.2f} s, {dict(storm.count())}; {cores.told()}")
    _, after = drive(address, requests, args.peak_seconds, clients=args.clients)
    print(f"peak again   {after:6.1f} answers/s; {cores.told()}")
    before, peak = peak, (peak + after) / 2
    full_house = args.places / peak
    allowed = 2 * calm.p99("200") + full_house
    turned = storm.latencies.get("429", [])
    # The first quarter fills the house for the first time; after it nothing may grow. Highs of quarters, since it breathes with what
    # is in the house; five per cent is what is left of that.
    size = max(1, len(memory.samples) // 4)
    highs = [max(memory.samples[at : at + size]) for at in (0, size, 2 * size, 3 * size)]
    growth = highs[3] / highs[1] - 1
    print(f"clients at most {storm.late * 1000:.0f} ms late")
    rss = ", ".join(f"{high:.0f}" for high in highs)
    others = {outcome: count for outcome, count in (calm.count() + storm.count()).items() if outcome not in {"200", "429"}}
    verdicts = [
        ("goodput", goodput >= 0.95 * peak, f"{goodput / peak:.1%} of the peak ({before:.1f} before, {after:.1f} after), at least 95 %"),
        ("p99 of accepted", storm.p99("200") <= allowed, f"{storm.p99('200'):.2f} s, at most 2 x {calm.p99('200'):.2f} + {full_house:.2f} = {allowed:.2f} s"),
        ("429 at once", bool(turned) and storm.p99("429") <= AT_ONCE, f"p50 {percentile(turned, 0.5) * 1000:.1f} ms, p99 {storm.p99('429') * 1000:.1f} ms, at most {AT_ONCE * 1000:.0f} ms"),
        ("nothing else", not others, f"{others or 'only 200 and 429'}"),
        ("none at 80 %", not calm.count()["429"], f"{calm.count()['429']} turned away at 80 %"),
        ("memory flat", growth <= 0.05, f"{memory.samples[0]:.0f} MiB before, highs of the quarters {rss}: {growth:+.1%} from the second to the last"),
    ]
    for name, passed, detail in verdicts:
        print(f"{'ok    ' if passed else 'MISSED'} {name:16} {detail}")
    return 0 if all(passed for _, passed, _ in verdicts) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", nargs="?", help="started here, unless --url says what runs")
    parser.add_argument("--url")
    parser.add_argument("--pid", type=int, help="of the service behind --url, for its memory")
    parser.add_argument("--seconds", type=float, default=20, help="of overload; 120 is the full bar")
    parser.add_argument("--times", type=float, default=10, help="how many times the peak is offered")
    parser.add_argument("--peak-seconds", type=float, default=15, help="of the peak and of 80 %% of it")
    parser.add_argument("--clients", type=int, default=60, help="in the closed loop: almost as many as there are places")
    parser.add_argument("--places", type=int, default=64, help="what the service has for --queue")
    parser.add_argument("--corpus", help="a folder of `data synth` instead of the example")
    args = parser.parse_args()
    if args.url:
        if not args.pid:
            parser.error("--url needs --pid")
        url = urllib.parse.urlsplit(args.url)
        return measure((url.hostname, url.port or 80), args.pid, args)
    if not args.binary:
        parser.error("a binary or --url")
    with tempfile.TemporaryDirectory(prefix="overload-") as work:
        os.environ["MORE_R1_QUEUE"] = str(args.places)
        service = Process("service", args.binary, free_ports(1)[0], pathlib.Path(work) / "log", [])
        service.start()
        try:
            wait(service.name, service.ready)
            return measure(service.address, service.running.pid, args)
        finally:
            if service.running.poll() is None:
                try:
                    service.stop()
                except subprocess.TimeoutExpired:
                    service.kill()


if __name__ == "__main__":
    sys.exit(main())
