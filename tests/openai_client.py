"""What programs written for OpenAI do, done to a running service: models, a turn, images, events, log-probabilities, choices, errors.

    tests/openai.sh PATH/TO/more-r1     (installs the client and starts the service)
"""

import base64
import math
import pathlib
import sys

import openai


def main(url: str, photo: str) -> None:
    """Ends with an AssertionError at the first thing that is not as it is with OpenAI."""
    client = openai.OpenAI(base_url=url, api_key="unused", max_retries=0, timeout=60)
    model = client.models.list().data[0].id
    encoded = base64.b64encode(pathlib.Path(photo).read_bytes()).decode()
    image = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded}"}}
    messages = [{"role": "user", "content": [image, {"type": "text", "text": "What is to be seen?"}]}]

    def ask(**wishes):
        return client.chat.completions.create(model=model, messages=messages, max_tokens=24, temperature=0, **wishes)

    answer = ask()
    text = answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length") and text, answer
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert ask().choices[0].message.content == text, "greedy answers are always the same"
    print(f"ok: a turn with an image: {text!r}")

    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == text and len([it for it in pieces if it]) > 3, pieces
    assert chunks[-1].usage == answer.usage or chunks[-1].usage.completion_tokens == answer.usage.completion_tokens
    print(f"ok: the same in {len(chunks)} events")

    tokens = ask(logprobs=True, top_logprobs=3).choices[0].logprobs.content
    assert all(it.logprob <= 0 and len(it.top_logprobs) == 3 for it in tokens)
    assert all(math.isclose(it.logprob, it.top_logprobs[0].logprob, abs_tol=1e-6) for it in tokens), "greedy takes the best"
    print(f"ok: log-probabilities of {len(tokens)} tokens")

    word = text.split()[1] if len(text.split()) > 1 else text.strip()
    cut = ask(stop=[word]).choices[0]
    assert cut.finish_reason == "stop" and word not in cut.message.content and text.startswith(cut.message.content), cut
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in ask(stop=[word], stream=True))
    assert streamed == cut.message.content, streamed
    print(f"ok: it stops before {word!r}")

    def drawn(seed: int) -> str:
        turn = client.chat.completions.create(model=model, messages=messages, max_tokens=24, temperature=1.5, seed=seed)
        return turn.choices[0].message.content

    assert drawn(1) == drawn(1) and len({drawn(seed) for seed in range(4)}) > 1
    print("ok: seeds")

    chosen = ask(extra_body={"structured_outputs": {"choice": ["red", "red shirt", "blue"]}})
    assert chosen.choices[0].message.content in ("red", "red shirt", "blue"), chosen
    schema = {"name": "colour", "schema": {"type": "string", "enum": ["red", "blue"]}}
    formed = ask(response_format={"type": "json_schema", "json_schema": schema})
    assert formed.choices[0].message.content in ('"red"', '"blue"'), formed
    print(f"ok: a choice: {chosen.choices[0].message.content}")

    for wrong, kind in [
        ({"model": "gpt-4"}, openai.NotFoundError),
        ({"max_tokens": 10**9}, openai.UnprocessableEntityError),
        ({"messages": [{"role": "user", "content": "<|im_end|>"}]}, openai.UnprocessableEntityError),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.UnprocessableEntityError),
    ]:
        try:
            client.chat.completions.create(**({"model": model, "messages": messages} | wrong))
        except kind as error:
            assert error.body["field"], error
        else:
            raise AssertionError(f"{wrong} was taken")
    print("ok: mistakes")


if __name__ == "__main__":
    main(*sys.argv[1:])
