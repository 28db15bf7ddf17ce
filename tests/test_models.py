"""Model names, the model that is meant, its room, its price and its settings."""

from __future__ import annotations

import socket
import threading

import pytest
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.models.test import TestModel as ModelForTests

from chatnb.errors import BadInput, ModelNotChosen
from chatnb.models import choose, context_window, full_name, history_limit, model_settings, price, resolve
from chatnb.records import Usage

KEYS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_BASE_URL", "DEEPSEEK_API_KEY", "AZURE_OPENAI_ENDPOINT")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)


def test_the_first_name_that_is_given_counts() -> None:
    assert choose(None, "", "openai:gpt-5", "demo") == "openai:gpt-5"


def test_no_model_anywhere_is_one_sentence_that_names_the_demo_and_the_environment() -> None:
    with pytest.raises(ModelNotChosen) as refusal:
        choose(None, "", None)
    assert "-m demo" in str(refusal.value) and "CHATNB_MODEL" in str(refusal.value)


def test_the_demo_needs_nothing() -> None:
    assert (resolve("demo").model_name, resolve("demo").system) == ("demo", "demo")


def test_a_model_stands_for_itself() -> None:
    model = ModelForTests()
    assert resolve(model) is model


def test_the_same_name_gives_the_same_model_until_the_environment_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
    first = resolve("openai:gpt-5")
    assert resolve("gpt-5") is first
    monkeypatch.setenv("OPENAI_API_KEY", "sk-two")
    assert resolve("openai:gpt-5") is not first


def test_ollama_is_looked_for_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    model = resolve("ollama:llama3.2")
    assert isinstance(model, OllamaModel) and model.base_url.startswith("http://localhost:11434/v1")
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://elsewhere:1/v1")
    assert resolve("ollama:llama3.2").base_url == "http://elsewhere:1/v1/"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("opnai:gpt-5", ["'opnai:gpt-5'", "Did you mean 'openai:gpt-5'?"]),
        ("demmo", ["Did you mean 'demo'?"]),
        ("nosuch:model", ["No model is named 'nosuch:model'.", "-m demo"]),
        ("gateway/nosuch:model", ["No model is named"]),
        ("", ["No model is named ''."]),
        ("openai:", ["names a provider but no model"]),
        ("openai:gpt-5", ["needs the environment variable OPENAI_API_KEY", "-m demo"]),
        ("deepseek:deepseek-chat", ["needs the environment variable DEEPSEEK_API_KEY"]),
        ("azure:gpt-5", ["needs the environment variable AZURE_OPENAI_ENDPOINT"]),
        ("mistral:mistral-large", ['pip install "pydantic-ai-slim[mistral]"']),
    ],
)
def test_a_name_that_cannot_be_used_is_one_line_that_says_what_to_do(name: str, words: list[str]) -> None:
    with pytest.raises(BadInput) as refusal:
        resolve(name)
    assert "\n" not in str(refusal.value)
    for word in words:
        assert word in str(refusal.value)


def test_a_missing_package_names_chatnbs_own_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pydantic_ai.providers.anthropic", "anthropic"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    message = 'you can use the `anthropic` optional group — `pip install "pydantic-ai-slim[anthropic]"`'

    def missing(provider: str) -> None:
        raise ImportError(message)

    monkeypatch.setattr("chatnb.models.infer_provider_class", missing)
    monkeypatch.setenv("SOME_NEW_VARIABLE", "so that nothing remembered is used")
    with pytest.raises(BadInput, match=r'pip install "chatnb\[anthropic\]"'):
        resolve("anthropic:claude-sonnet-4-5")


def test_names_without_a_provider_get_their_makers() -> None:
    assert full_name("claude-sonnet-4-5") == "anthropic:claude-sonnet-4-5"
    assert full_name("gemini-2.5-pro") == "google:gemini-2.5-pro"
    assert full_name(" openai:gpt-5 ") == "openai:gpt-5"


def test_context_windows_are_known_offline_and_start_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    threads = threading.active_count()
    assert context_window("openai:gpt-4") == 8192
    assert context_window("gpt-4") == 8192
    assert context_window("openai-chat:gpt-4o") == 128_000
    assert price("openai:gpt-4o", Usage(input_tokens=1_000_000)) == pytest.approx(2.5)
    assert threading.active_count() == threads


@pytest.mark.parametrize("name", [None, "demo", "ollama:llama3.2", "nosuch:model"])
def test_an_unknown_window_is_none(name: str | None) -> None:
    assert context_window(name) is None


def test_the_history_limit_is_fifty_thousand_tokens_or_what_the_model_has_room_for() -> None:
    assert history_limit(None) == history_limit("demo") == history_limit("openai:gpt-4o") == 50_000
    assert history_limit("openai:gpt-4") == 8192 - 2048
    assert history_limit("openai:gpt-4", wanted=1000) == 1000
    assert history_limit("openai:gpt-4", wanted=20_000) == 8192 - 2048
    assert history_limit("openai:gpt-4o", wanted=100_000) == 100_000


def test_a_free_model_costs_nothing_and_an_unknown_price_is_none() -> None:
    used = Usage(input_tokens=1000, output_tokens=100)
    assert price("demo", used) == 0.0
    assert price("ollama:llama3.2", used) is None
    assert price(None, used) is None


@pytest.mark.parametrize(
    ("option", "settings"),
    [
        ("max_tokens=200", {"max_tokens": 200}),
        ("top_p=1", {"top_p": 1.0}),
        ("parallel_tool_calls=false", {"parallel_tool_calls": False}),
        ("stop_sequences=a,b", {"stop_sequences": ["a", "b"]}),
        ('stop_sequences=["a,b"]', {"stop_sequences": ["a,b"]}),
        ("thinking=high", {"thinking": "high"}),
        ("timeout=2.5", {"timeout": 2.5}),
        ('extra_body={"a": {"b": 1}}', {"extra_body": {"a": {"b": 1}}}),
        ("openai_reasoning_effort=low", {"openai_reasoning_effort": "low"}),
        ("anthropic_cache=true", {"anthropic_cache": True}),
        ("extra_headers={\"x\": \"a=b\"}", {"extra_headers": {"x": "a=b"}}),
    ],
)  # fmt: skip
def test_options_become_settings_of_the_right_type(option: str, settings: dict[str, object]) -> None:
    found = model_settings([option])
    assert found == settings
    assert [type(value) for value in found.values()] == [type(value) for value in settings.values()]


def test_the_temperature_option_stands_beside_the_others_and_can_be_overridden() -> None:
    assert model_settings(["seed=1"], temperature=0.2) == {"temperature": 0.2, "seed": 1}
    assert model_settings(["temperature=0.7"], temperature=0.2) == {"temperature": 0.7}
    assert model_settings() == {}


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("temprature=1", ["'temprature'", "Did you mean 'temperature'?", "extra_body"]),
        ("temperature=warm", ["'warm'", "'temperature'", "float"]),
        ("temperature=NaN", ["'NaN'"]),
        ("seed=1.5", ["'1.5'", "int"]),
        ("thinking=sometimes", ["'sometimes'", "high"]),
        ("max_tokens", ["NAME=VALUE", "max_tokens=200"]),
        ("=1", ["NAME=VALUE"]),
    ],
)
def test_an_option_that_cannot_be_used_is_one_line_that_says_what_to_do(option: str, words: list[str]) -> None:
    with pytest.raises(BadInput) as refusal:
        model_settings([option])
    assert "\n" not in str(refusal.value)
    for word in words:
        assert word in str(refusal.value)
