"""Measures a running service on a corpus: one question at a time, a batch of distinct photos, pairs of shared photos.

    more-r1 data synth --out data/fresh --seed 77 --train 1 --dev 1 --test 1000
    more-r1 serve --listen 127.0.0.1:8080 &
    python3 tests/load.py http://127.0.0.1:8080 [data/fresh]

Standard library only. Ends with 1 if any question fails.
"""

import base64
import json
import pathlib
import statistics
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor


def main(url: str, corpus: str = "data/fresh") -> int:
    """Runs the three measurements on the test split of `corpus`."""
    folder = pathlib.Path(corpus)
    records = [json.loads(line) for line in (folder / "test.jsonl").open()]
    photos: dict[str, list[dict]] = {}
    for record in records:
        photos.setdefault(record["img_id"], []).append(record)
    first = [group[0] for group in photos.values()]

    def image(record: dict) -> str:
        return base64.b64encode((folder / "images" / record["img_id"]).read_bytes()).decode()

    def pair(record: dict) -> dict:
        bbox = [float(number) for number in record["t"]["pos"]]
        return {"bbox": bbox, "entity": " ".join(record["h"]["name"])}

    def question(record: dict) -> dict:
        return {"image": image(record), "text": record["text"], "box_format": "cxcywh", **pair(record)}

    def post(path: str, body: dict) -> tuple[float, list[dict]]:
        data = json.dumps(body).encode()
        request = urllib.request.Request(url + path, data, {"content-type": "application/json"})
        begin = time.perf_counter()
        with urllib.request.urlopen(request) as response:
            answer = response.read()
        return time.perf_counter() - begin, [json.loads(line) for line in answer.splitlines()]

    alone = [post("/extract", question(record)) for record in first[:25]]
    totals = [seconds * 1000 for seconds, _ in alone]
    outside = [seconds * 1000 - lines[0]["timings_ms"]["total"] for seconds, lines in alone]
    print(f"alone: p50 {statistics.median(totals):.0f} ms, worst {max(totals):.0f} ms, outside {statistics.median(outside):.1f} ms")

    seconds, lines = post("/extract/batch", {"items": [question(record) for record in first[25:125]]})
    failed = sum("answer" not in line for line in lines)
    print(f"distinct photos: {len(lines) / seconds:.1f} relations/s, {failed} of {len(lines)} failed")

    def shared(group: list[dict]) -> list[dict]:
        body = {"image": image(group[0]), "text": group[0]["text"], "box_format": "cxcywh"}
        return post("/extract/batch", body | {"pairs": [pair(record) for record in group]})[1]

    groups = [group for group in list(photos.values())[125:] if len(group) >= 4][:24]
    begin = time.perf_counter()
    with ThreadPoolExecutor(3) as pool:
        answers = [line for lines in pool.map(shared, groups) for line in lines]
    seconds = time.perf_counter() - begin
    bad = sum("answer" not in line for line in answers)
    print(f"pairs of shared photos: {len(answers) / seconds:.1f} relations/s, {bad} of {len(answers)} failed")
    return 1 if failed + bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
