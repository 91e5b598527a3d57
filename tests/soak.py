"""Lives with one service for a while as its clients do: questions, forms, batches, streams, conversations, mistakes of many kinds, and
clients that leave in the middle. Nothing may fail, nothing may stay behind, memory may not grow.

    python3 tests/soak.py PATH/TO/more-r1 [--minutes 20] [--clients 8]

Ends with 1 if an answer has another status than its question deserves, if a place or a sequence is still taken a few seconds after the end, or
if resident memory in the last quarter is more than 10 % above that of the second. Standard library only. Not here: overload, kills.
"""

import argparse
import base64
import json
import pathlib
import random
import re
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter

from balance import ROOT, Process, free_ports, questions, wait


class Traffic:
    """What clients do, and what came of it."""

    def __init__(self, port: int) -> None:
        self.port, self.counts, self.wrong, self.lock = port, Counter(), [], threading.Lock()
        self.bodies = [json.loads(body) for body in questions()]
        self.photo = base64.b64encode((ROOT / "examples" / "photo.jpg").read_bytes()).decode()

    def note(self, what: str, fault: str | None = None) -> None:
        with self.lock:
            self.counts[what] += 1
            if fault:
                self.wrong.append(f"{what}: {fault}")

    def ask(self, path: str, body: bytes, headers: dict | None = None, wanted: int = 200) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers or {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                status, answer = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, answer = error.code, error.read()
        if status != wanted:
            raise AssertionError(f"{status} instead of {wanted}: {answer[:200]!r}")
        return answer

    def question(self, rng: random.Random) -> dict:
        return dict(rng.choice(self.bodies))

    def single(self, rng: random.Random) -> None:
        wishes = rng.choice([{}, {"scores": True}, {"enforce": "strict"}, {"samples": 1}, {"abstain_below": 0.9}])
        answer = json.loads(self.ask("/extract", json.dumps(self.question(rng) | wishes).encode()))
        assert len(answer["trace"]["steps"]) == 6

    def graph(self, rng: random.Random) -> None:
        form = rng.choice(["jsonld", "turtle", "cypher", "csv"])
        assert b"xywh=pixel:" in self.ask(f"/extract?format={form}", json.dumps(self.question(rng)).encode())

    def batch(self, rng: random.Random) -> None:
        items = [self.question(rng) for _ in range(4)] + [{"image": "?"}]
        lines = self.ask("/extract/batch", json.dumps({"items": items}).encode()).splitlines()
        assert sum(b'"answer"' in line for line in lines) == 4 and len(lines) == 5

    def stream(self, rng: random.Random) -> None:
        events = self.ask("/extract", json.dumps(self.question(rng) | {"stream": True, "stream_tokens": True}).encode())
        assert events.count(b"event: step") == 6 and b"event: done" in events

    def chat(self, rng: random.Random) -> None:
        image = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{self.photo}"}}
        content = [image, {"type": "text", "text": "What is it?"}]
        body = {"messages": [{"role": "user", "content": content}], "max_tokens": 16, "stream": rng.random() < 0.5, "seed": rng.randrange(9)}
        self.ask("/v1/chat/completions", json.dumps(body).encode())

    def mistake(self, rng: random.Random) -> None:
        question = self.question(rng)
        body, wanted = rng.choice(
            [
                (json.dumps(question | {"entity": "nobody at all"}).encode(), 422),
                (json.dumps(question | {"bbox": [900, 900, 901, 901]}).encode(), 422),
                (json.dumps(question | {"image": "AQID"}).encode(), 422),
                (json.dumps(question | {"colour": 1}).encode(), 422),
                (b"{", 400),
                (b"x" * 3_000_000, 400),
            ]
        )
        self.ask("/extract", body, wanted=wanted)

    def leave(self, rng: random.Random) -> None:
        """Sends a question, or a part of it, and goes away."""
        body = json.dumps(self.question(rng) | rng.choice([{}, {"stream": True}])).encode()
        head = f"POST /extract HTTP/1.1\r\nhost: soak\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
            client.sendall(head.encode() + body[: rng.choice([0, len(body) // 2, len(body)])])
            time.sleep(rng.random() * 0.3)

    def live(self, seed: int, until: float) -> None:
        rng = random.Random(seed)
        kinds = [self.single] * 5 + [self.graph, self.batch, self.stream, self.chat, self.mistake, self.leave, self.leave]
        while time.monotonic() < until:
            kind = rng.choice(kinds)
            try:
                kind(rng)
                self.note(kind.__name__)
            except Exception as error:  # counted and told at the end
                self.note(kind.__name__, f"{type(error).__name__} {error}")


def resident(pid: int) -> float:
    """MiB."""
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    (port,) = free_ports(1)
    log = pathlib.Path(tempfile.mkdtemp()) / "log"
    service = Process("service", options.binary, port, log, [])
    service.start()
    try:
        wait("service", service.ready)
        traffic = Traffic(port)
        begin = time.monotonic()
        until = begin + options.minutes * 60
        clients = [threading.Thread(target=traffic.live, args=(seed, until)) for seed in range(options.clients)]
        for client in clients:
            client.start()
        memory = []
        while time.monotonic() < until:
            time.sleep(options.minutes * 60 / 80)
            memory.append(resident(service.running.pid))
            if len(memory) % 8 == 0:
                left = max(0, until - time.monotonic())
                print(f"{left:5.0f} s left: {sum(traffic.counts.values())} done, {len(traffic.wrong)} wrong, {memory[-1]:.0f} MiB", flush=True)
        for client in clients:
            client.join()

        def empty() -> bool:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
                text = response.read().decode()
            names = ("places_taken", "num_requests_running", "num_requests_waiting")
            return all(re.search(f"^more_r1_{name} 0$", text, re.MULTILINE) for name in names)

        wait("an empty house", empty, 15)
        quarter = len(memory) // 4
        before, after = (sorted(part)[len(part) // 2] for part in (memory[quarter : 2 * quarter], memory[-quarter:]))
        print(f"done: {dict(traffic.counts)}")
        print(f"memory: {before:.0f} MiB in the second quarter, {after:.0f} MiB in the last")
        for fault in traffic.wrong[:10]:
            print(f"WRONG {fault}")
        panics = log.read_text(errors="replace").count("panicked")
        print(f"wrong: {len(traffic.wrong)}, panics in the log: {panics}")
        return 1 if traffic.wrong or panics or after > 1.1 * before else 0
    finally:
        service.stop()


if __name__ == "__main__":
    sys.exit(main())
