"""Asks the same questions alone, in company, with caches cold and hot and without any: `relation`, `trace` and `scores` have to be the
same bytes.

    more-r1 data synth --out data/fresh --seed 77 --train 1 --dev 1 --test 200
    python3 tests/identical.py PATH/TO/more-r1 data/fresh [--questions 200]

Standard library only. Ends with 1 at the first difference.
"""

import argparse
import json
import pathlib
import random
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from balance import Process, free_ports, questions, wait

PARTS = ("relation", "trace", "scores")


def asked(port: int, body: bytes) -> str:
    """What has to be the same of one answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/extract", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=170) as response:
        answer = json.load(response)
    return json.dumps({part: answer[part] for part in PARTS})


def batched(port: int, bodies: list[bytes]) -> list[str]:
    """The same from one batch."""
    items = b'{"items": [' + b", ".join(bodies) + b"]}"
    request = urllib.request.Request(f"http://127.0.0.1:{port}/extract/batch", items, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as response:
        lines = [json.loads(line) for line in response]
    lines.sort(key=lambda line: line["index"])
    return [json.dumps({part: line["answer"][part] for part in PARTS}) for line in lines]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("corpus", help="a folder as `data synth` writes it")
    parser.add_argument("--questions", type=int, default=200)
    options = parser.parse_args()
    bodies = questions(options.corpus)[: options.questions]
    bodies = [json.dumps(json.loads(body) | {"scores": True}).encode() for body in bodies]
    log = pathlib.Path(tempfile.mkdtemp()) / "log"
    cached, bare = free_ports(2)
    servers = [
        Process("with caches", options.binary, cached, log, []),
        Process("without caches", options.binary, bare, log, ["--prefix-cache-mib", "0", "--image-cache-mib", "0"]),
    ]
    try:
        for server in servers:
            server.start()
            wait(server.name, server.ready)
        alone = [asked(bare, body) for body in bodies]
        order = list(range(len(bodies)))
        random.Random(1).shuffle(order)

        def in_company(port: int, clients: int) -> list[str]:
            with ThreadPoolExecutor(clients) as pool:
                answers = dict(zip(order, pool.map(lambda index: asked(port, bodies[index]), order), strict=True))
            return [answers[index] for index in range(len(bodies))]

        runs = {
            "alone, caches cold at first": lambda: [asked(cached, body) for body in bodies],
            "alone, caches hot": lambda: [asked(cached, body) for body in bodies],
            "16 at once, mixed, caches hot": lambda: in_company(cached, 16),
            "16 at once, mixed, no caches": lambda: in_company(bare, 16),
            "in one batch": lambda: batched(cached, bodies),
        }
        failed = 0
        for name, run in runs.items():
            begin = time.perf_counter()
            answers = run()
            different = [index for index, answer in enumerate(answers) if answer != alone[index]]
            failed += len(different)
            verdict = "identical" if not different else f"{len(different)} DIFFER, such as question {different[0]}"
            print(f"{name}: {len(answers)} answers, {verdict}, {len(answers) / (time.perf_counter() - begin):.1f}/s")
        return 1 if failed else 0
    finally:
        for server in servers:
            if server.running:
                server.stop()


if __name__ == "__main__":
    sys.exit(main())
