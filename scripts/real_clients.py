"""Python clients of OpenAI's and Anthropic's APIs against a running server: chat, stream, tool, shape, overflow.

usage: scripts/real_clients.py [--url URL] [--model NAME] [CLIENT ...]     with `inhouse serve` running at URL
Each client is installed into an environment of its own (--folder keeps them). A cell of the table is "ok" or what went
wrong; "-" where a client has no such thing. Exit code 1 if anything went wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHECKS = ("chat", "stream", "tool", "shape", "overflow")
WEATHER = "Tells the weather in a city."
ASK_TOOL = "What is the weather in Rome? Use the tool."
ASK_SHAPE = "Ada is 36 years old. Give her name and age."
LONG = "word " * 60_000  # more than any context of the starter
OVERFLOW = ("maximum context length", "prompt is too long", "context_length_exceeded", "ContextWindowExceeded")
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
Checks = dict[str, Callable[[], Any]]


def hello() -> list[Any]:
    return [{"role": "user", "content": "Say hello."}]


def expect(condition: object, said: object) -> None:
    if not condition:
        raise AssertionError(f"unexpected: {said!r}"[:300])


def is_ada(value: Any) -> None:
    value = json.loads(value) if isinstance(value, str) else value
    value = value.model_dump() if hasattr(value, "model_dump") else value
    expect(isinstance(value["name"], str) and isinstance(value["age"], int), value)


def overflows(call: Callable[[], Any]) -> None:
    try:
        answer = call()
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        expect(any(words in said for words in OVERFLOW), said[:300])
    else:
        raise AssertionError(f"answered: {str(answer)[:100]}")


def person() -> Any:
    from pydantic import BaseModel

    class Person(BaseModel):
        name: str
        age: int

    return Person


def openai(url: str, model: str) -> Checks:
    from openai import OpenAI

    api = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0).chat.completions
    tools: Any = [
        {"type": "function", "function": {"name": "weather", "description": WEATHER, "parameters": PARAMETERS}}
    ]

    def tool() -> None:
        asked: Any = [{"role": "user", "content": ASK_TOOL}]
        first = api.create(model=model, messages=asked, tools=tools, tool_choice="required", parallel_tool_calls=False)
        (call,) = first.choices[0].message.tool_calls or ()
        expect(isinstance(json.loads(call.function.arguments)["city"], str), call)  # type: ignore[union-attr]
        result: Any = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
        second = api.create(model=model, messages=[*asked, first.choices[0].message, result], tools=tools)
        expect(second.choices[0].message.content or second.choices[0].message.tool_calls, second)

    def stream() -> None:
        chunks = api.create(model=model, messages=hello(), stream=True)
        expect("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), "no text")

    def shape() -> None:
        asked: Any = [{"role": "user", "content": ASK_SHAPE}]
        is_ada(api.parse(model=model, messages=asked, response_format=person()).choices[0].message.parsed)

    return {
        "chat": lambda: expect(api.create(model=model, messages=hello()).choices[0].message.content, "no text"),
        "stream": stream,
        "tool": tool,
        "shape": shape,
        "overflow": lambda: overflows(lambda: api.create(model=model, messages=[{"role": "user", "content": LONG}])),
    }


def anthropic(url: str, model: str) -> Checks:
    from anthropic import Anthropic

    api = Anthropic(base_url=url, api_key="none", max_retries=0).messages

    def tool() -> None:
        tools: Any = [{"name": "weather", "description": WEATHER, "input_schema": PARAMETERS}]
        asked: Any = [{"role": "user", "content": ASK_TOOL}]
        first = api.create(model=model, messages=asked, tools=tools, tool_choice={"type": "any"}, max_tokens=200)
        (block, *_) = [block for block in first.content if block.type == "tool_use"]
        expect(isinstance(block.input["city"], str), block)
        result: Any = [{"type": "tool_result", "tool_use_id": block.id, "content": "sunny"}]
        talk: Any = [*asked, {"role": "assistant", "content": [block]}, {"role": "user", "content": result}]
        expect(api.create(model=model, messages=talk, tools=tools, max_tokens=100).content, "nothing")

    def stream() -> None:
        with api.stream(model=model, messages=hello(), max_tokens=50) as events:
            expect("".join(events.text_stream), "no text")

    def shape() -> None:
        asked: Any = [{"role": "user", "content": ASK_SHAPE}]
        format = {"format": {"type": "json_schema", "schema": SCHEMA}}
        said = api.create(model=model, messages=asked, max_tokens=100, extra_body={"output_config": format})
        is_ada(said.content[0].text)  # type: ignore[union-attr]

    def chat() -> None:
        expect(api.create(model=model, messages=hello(), max_tokens=50).content[0].text, "no text")  # type: ignore[union-attr]

    long: Any = [{"role": "user", "content": LONG}]
    return {"chat": chat, "stream": stream, "tool": tool, "shape": shape,
            "overflow": lambda: overflows(lambda: api.create(model=model, messages=long, max_tokens=9))}  # fmt: skip


def litellm(url: str, model: str) -> Checks:
    import litellm

    def ask(content: str, **more: Any) -> Any:
        messages = [{"role": "user", "content": content}]
        return litellm.completion(
            f"openai/{model}", messages, api_base=f"{url}/v1", api_key="none", num_retries=0, **more
        )

    tools = [{"type": "function", "function": {"name": "weather", "description": WEATHER, "parameters": PARAMETERS}}]

    def tool() -> None:
        calls = ask(ASK_TOOL, tools=tools, tool_choice="required").choices[0].message.tool_calls
        expect(isinstance(json.loads(calls[0].function.arguments)["city"], str), calls)

    def overflow() -> None:
        try:
            ask(LONG)
        except litellm.ContextWindowExceededError:
            return
        raise AssertionError("not told as an overflow")

    return {
        "chat": lambda: expect(ask("Say hello.").choices[0].message.content, "no text"),
        "stream": lambda: expect(
            "".join(part.choices[0].delta.content or "" for part in ask("Say hello.", stream=True)), "no text"
        ),
        "tool": tool,
        "shape": lambda: is_ada(ask(ASK_SHAPE, response_format=person()).choices[0].message.content),
        "overflow": overflow,
    }


def langchain(url: str, model: str) -> Checks:
    from langchain_core.tools import tool as as_tool
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(base_url=f"{url}/v1", api_key="none", model=model, max_retries=0)  # type: ignore[arg-type]

    @as_tool
    def weather(city: str) -> str:
        """Tells the weather in a city."""
        return "sunny"

    def tool() -> None:
        said = chat.bind_tools([weather], tool_choice="any").invoke(ASK_TOOL)
        expect(isinstance(said.tool_calls[0]["args"]["city"], str), said)

    return {
        "chat": lambda: expect(chat.invoke("Say hello.").content, "no text"),
        "stream": lambda: expect("".join(str(part.content) for part in chat.stream("Say hello.")), "no text"),
        "tool": tool,
        "shape": lambda: is_ada(chat.with_structured_output(person()).invoke(ASK_SHAPE)),
        "overflow": lambda: overflows(lambda: chat.invoke(LONG)),
    }


def pydantic_ai(url: str, model: str) -> Checks:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    served = OpenAIChatModel(model, provider=OpenAIProvider(base_url=f"{url}/v1", api_key="none"))
    asked: list[str] = []

    def tool() -> None:
        agent = Agent(served, retries=3)

        @agent.tool_plain
        def weather(city: str) -> str:
            """Tells the weather in a city."""
            asked.append(city)
            return "sunny"

        agent.run_sync(ASK_TOOL)
        expect(asked, "the tool was not called")

    def stream() -> None:
        import asyncio

        async def run() -> str:
            async with Agent(served).run_stream("Say hello.") as result:
                return "".join([text async for text in result.stream_text(delta=True)])

        expect(asyncio.run(run()), "no text")

    return {
        "chat": lambda: expect(Agent(served).run_sync("Say hello.").output, "no text"),
        "stream": stream,
        "tool": tool,
        "shape": lambda: is_ada(Agent(served, output_type=person(), retries=3).run_sync(ASK_SHAPE).output),
        "overflow": lambda: overflows(lambda: Agent(served).run_sync(LONG)),
    }


def instructor(url: str, model: str) -> Checks:
    import instructor
    from openai import OpenAI

    def of(mode: Any) -> Any:
        return instructor.from_openai(OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0), mode=mode)

    def ask(mode: Any, content: str) -> Any:
        messages = [{"role": "user", "content": content}]
        return of(mode).chat.completions.create(model=model, response_model=person(), messages=messages, max_retries=0)

    def stream() -> None:
        messages = [{"role": "user", "content": ASK_SHAPE}]
        parts = of(instructor.Mode.JSON_SCHEMA).chat.completions.create_partial(
            model=model, response_model=person(), messages=messages
        )
        is_ada(list(parts)[-1])

    return {
        "stream": stream,
        "tool": lambda: is_ada(ask(instructor.Mode.TOOLS, ASK_SHAPE)),
        "shape": lambda: is_ada(ask(instructor.Mode.JSON_SCHEMA, ASK_SHAPE)),
        "overflow": lambda: overflows(lambda: ask(instructor.Mode.JSON_SCHEMA, LONG)),
    }


def llama_index(url: str, model: str) -> Checks:
    from llama_index.core.llms import ChatMessage
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai_like import OpenAILike

    llm = OpenAILike(model=model, api_base=f"{url}/v1", api_key="none", is_chat_model=True, context_window=32768,
                     is_function_calling_model=True, max_retries=0)  # fmt: skip

    def weather(city: str) -> str:
        """Tells the weather in a city."""
        return "sunny"

    def tool() -> None:
        made = FunctionTool.from_defaults(weather)
        said = llm.chat_with_tools([made], user_msg=ASK_TOOL, tool_required=True)
        calls = llm.get_tool_calls_from_response(said)
        expect(isinstance(calls[0].tool_kwargs["city"], str), calls)

    hello_ = [ChatMessage(role="user", content="Say hello.")]
    return {
        "chat": lambda: expect(llm.chat(hello_).message.content, "no text"),
        "stream": lambda: expect("".join(part.delta or "" for part in llm.stream_chat(hello_)), "no text"),
        "tool": tool,
        "shape": lambda: is_ada(llm.as_structured_llm(person()).complete(ASK_SHAPE).raw),
        "overflow": lambda: overflows(lambda: llm.complete(LONG)),
    }


def smolagents(url: str, model: str) -> Checks:
    from smolagents import OpenAIServerModel, Tool

    class Weather(Tool):  # type: ignore[misc]
        name, description, output_type = "weather", WEATHER, "string"
        inputs = {"city": {"type": "string", "description": "its name"}}  # noqa: RUF012

        def forward(self, city: str) -> str:
            return "sunny"

    served = OpenAIServerModel(model, api_base=f"{url}/v1", api_key="none")

    def turn(text: str) -> list[Any]:
        return [{"role": "user", "content": [{"type": "text", "text": text}]}]

    def tool() -> None:
        said = served.generate(turn(ASK_TOOL), tools_to_call_from=[Weather()])
        arguments = said.tool_calls[0].function.arguments
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        expect(isinstance(arguments["city"], str), said)

    format = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
    return {
        "chat": lambda: expect(served.generate(turn("Say hello.")).content, "no text"),
        "stream": lambda: expect(
            "".join(part.content or "" for part in served.generate_stream(turn("Say hello."))), "no text"
        ),
        "tool": tool,
        "shape": lambda: is_ada(served.generate(turn(ASK_SHAPE), response_format=format).content),
        "overflow": lambda: overflows(lambda: served.generate(turn(LONG))),
    }


def dspy(url: str, model: str) -> Checks:
    import dspy

    lm = dspy.LM(f"openai/{model}", api_base=f"{url}/v1", api_key="none", cache=False, num_retries=0, max_tokens=300)
    dspy.configure(lm=lm, adapter=dspy.JSONAdapter())

    def shape() -> None:
        said = dspy.Predict("text -> name: str, age: int")(text="Ada is 36 years old.")
        is_ada({"name": said.name, "age": said.age})

    return {
        "chat": lambda: expect(lm("Say hello.")[0], "no text"),
        "shape": shape,
        "overflow": lambda: overflows(lambda: lm(LONG)),
    }


CLIENTS: dict[str, tuple[Callable[[str, str], Checks], str]] = {
    "openai": (openai, "openai"),
    "anthropic": (anthropic, "anthropic"),
    "litellm": (litellm, "litellm"),
    "langchain-openai": (langchain, "langchain-openai"),
    "pydantic-ai": (pydantic_ai, "pydantic-ai-slim[openai]"),
    "instructor": (instructor, "instructor"),
    "llama-index": (llama_index, "llama-index-llms-openai-like"),
    "smolagents": (smolagents, "smolagents[openai]"),
    "dspy": (dspy, "dspy"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--folder", type=Path, help="where the environments are kept (default: a temporary one)")
    parser.add_argument("clients", metavar="CLIENT", nargs="*", help=f"of {', '.join(CLIENTS)} (default: all)")
    args = parser.parse_args()
    if unknown := [name for name in args.clients if name not in CLIENTS]:
        parser.error(f"no such client: {', '.join(unknown)}")
    failed = 0
    print("| client | " + " | ".join(CHECKS) + " |\n|" + "---|" * (len(CHECKS) + 1))
    with tempfile.TemporaryDirectory(prefix="real-clients-") as scratch:
        for name in args.clients or CLIENTS:
            python = environment((args.folder or Path(scratch)).resolve() / name, CLIENTS[name][1])
            said = {check: run(python, name, check, args.url, args.model) for check in CHECKS}
            failed += sum(text not in ("ok", "-") for text in said.values())
            print(f"| {name} | " + " | ".join(said[check] for check in CHECKS) + " |", flush=True)
    return 1 if failed else 0


def environment(folder: Path, package: str) -> Path:
    """A Python that has the client."""
    if not (folder / "installed").is_file():
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin/pip", "install", "-q", "--disable-pip-version-check", package], check=True)
        (folder / "installed").touch()
    return folder / "bin/python"


def run(python: Path, name: str, check: str, url: str, model: str) -> str:
    """One check in a process of its own."""
    command = [python, __file__, "--check", name, check, url, model]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "NO_PROXY": "*"})
    except subprocess.TimeoutExpired:
        return "no end in 300 s"
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return lines[-1].replace("|", "/")[:200]


def check_one(name: str, check: str, url: str, model: str) -> None:
    """Prints ok, - or what went wrong."""
    todo = CLIENTS[name][0](url, model).get(check)
    if todo is None:
        print("-")
        return
    try:
        todo()
    except Exception as error:
        said = " ".join(str(error).split())
        print(f"{type(error).__name__}: {said}")
    else:
        print("ok")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check_one(*sys.argv[2:6])
    else:
        sys.exit(main())
