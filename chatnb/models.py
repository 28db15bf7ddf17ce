"""Model names: what they stand for, which one is meant, how much fits in, what it costs, which settings it takes."""

from __future__ import annotations

import difflib
import json
import os
import pkgutil
import re
import typing
from collections.abc import Iterable, Mapping
from functools import lru_cache

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model, known_model_names, parse_model_id
from pydantic_ai.providers import infer_provider_class
from pydantic_ai.settings import ModelSettings

from chatnb.errors import BadInput, ModelNotChosen, nearest
from chatnb.records import Usage
from chatnb.settings import HISTORY_TOKENS

__all__ = ["choose", "context_window", "full_name", "history_limit", "model_settings", "price", "resolve"]

OWN_MODELS = {"demo": "chatnb.agents.demo:DemoModel"}
"""Models that are ours, each with the place of its class; imported when asked for."""

_BARE_NAMES = {
    "gpt-": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "claude-": "anthropic",
    "gemini-": "google",
}
_FORMER_PROVIDERS = {"google-gla": "google", "google-vertex": "google-cloud"}
_EXTRAS = ("openai", "anthropic", "google")  # of chatnb itself; for another provider the extra is PydanticAI's
_OLLAMA_URL = "http://localhost:11434/v1"
_ANSWER_ROOM = 16_384  # tokens; at most a quarter of the window
_PROVIDER_SETTING = re.compile(
    "(anthropic|bedrock|bedrock_mantle|cerebras|cohere|crusoe|github_copilot|google|groq|huggingface|mistral|openai"
    "|openai_codex|openrouter|snowflake|xai|zai)_[a-z0-9_]+"
)


def choose(*candidates: str | None) -> str:
    """The first model name that is given.

    Parameters
    ----------
    *candidates
        Names in the order in which they count: the option's, the session's, the configured one.

    Raises
    ------
    ModelNotChosen
        None of them is given.
    """
    for candidate in candidates:
        if candidate:
            return candidate
    raise ModelNotChosen(
        "No model is chosen. Name one, as in -m openai:gpt-5, or set CHATNB_MODEL; -m demo works without a key."
    )


def full_name(name: str) -> str:
    """The name with its provider.

    >>> full_name("gpt-5"), full_name("demo"), full_name("google-gla:gemini-2.5-pro")
    ('openai:gpt-5', 'demo', 'google:gemini-2.5-pro')
    """
    provider, model = parse_model_id(name.strip())
    if provider is not None:
        return f"{_FORMER_PROVIDERS.get(provider, provider)}:{model}"
    for start, owner in _BARE_NAMES.items():
        if model.startswith(start):
            return f"{owner}:{model}"
    return model


def resolve(name: str | Model) -> Model:
    """The model that a name stands for.

    The same name gives the same object, with its open connections, while the environment stays the same.

    Parameters
    ----------
    name
        'demo', a PydanticAI name as `openai:gpt-5` or `ollama:llama3.2`, or a model itself.

    Raises
    ------
    BadInput
        No such provider or model, its package is not installed, or its key is not set.
    """
    if isinstance(name, Model):
        return name
    return _resolve(full_name(name), tuple(sorted(os.environ.items())))


@lru_cache(maxsize=32)
def _resolve(name: str, environment: tuple[tuple[str, str], ...]) -> Model:
    if name in OWN_MODELS:
        model: Model = pkgutil.resolve_name(OWN_MODELS[name])()
        return model
    provider, model_name = parse_model_id(name)
    try:
        if provider is None and name != "test":
            raise BadInput(_unknown(name))
        if provider is not None and not provider.startswith("gateway/"):
            infer_provider_class(provider)
        if provider is not None and not model_name.strip():
            raise BadInput(f"{name!r} names a provider but no model.{_suggestion(name)}")
        if provider == "ollama" and not os.environ.get("OLLAMA_BASE_URL"):
            return _local_ollama(model_name)
        return infer_model(name)
    except ImportError as error:
        raise BadInput(_missing_package(name, error)) from error
    except BadInput:
        raise
    except UserError as error:
        raise BadInput(_refused(name, error)) from error
    except ValueError as error:
        raise BadInput(_unknown(name)) from error


def _local_ollama(model_name: str) -> Model:
    from pydantic_ai.models.ollama import OllamaModel  # needs the openai package
    from pydantic_ai.providers.ollama import OllamaProvider

    return OllamaModel(model_name, provider=OllamaProvider(base_url=_OLLAMA_URL))


def _unknown(name: str) -> str:
    return f"No model is named {name!r}.{_suggestion(name)} Names are provider:model; -m demo works offline."


def _suggestion(name: str) -> str:
    """The known model that is most like `name`, as a question; of another provider only where `name` has none."""
    provider, model = parse_model_id(name)
    known = [parse_model_id(one) for one in known_model_names() if "/" not in one]
    providers = {one for one, _ in known if one} | {"ollama", "openrouter"}
    if provider is not None and provider not in providers:
        match = nearest(provider, sorted(providers))
        return match.replace("'?", f":{model}'?")
    full = {one: f"{owner}:{one}" for owner, one in reversed(known) if owner and provider in (owner, None)}
    full |= {one: f"{owner}:{one}" for owner, one in known if owner in _EXTRAS and provider in (owner, None)}
    full |= {one: one for one in OWN_MODELS if provider is None}
    close = difflib.get_close_matches(model, full, n=1)
    return f" Did you mean {full[close[0]]!r}?" if close else ""


def _missing_package(name: str, error: ImportError) -> str:
    extra = re.search(r"pydantic-ai-slim\[([\w-]+)\]", str(error))
    if not extra:
        return f"Model {name!r} needs a package that cannot be imported: {error}"
    package = "chatnb" if extra[1] in _EXTRAS else "pydantic-ai-slim"
    return f'Model {name!r} needs a package that is not installed: pip install "{package}[{extra[1]}]"'


def _refused(name: str, error: UserError) -> str:
    if str(error).startswith("Unknown model"):
        return _unknown(name)
    variables = re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)`", str(error))
    if not variables:
        return f"Model {name!r} cannot be used: {error}"
    return f"Model {name!r} needs the environment variable {variables[0]}. Set it, or use -m demo, which needs no key."


def _priced_ids(model_name: str) -> tuple[str | None, str]:
    """The provider and the model as genai-prices calls them."""
    provider, model = parse_model_id(full_name(model_name))
    provider = provider.removeprefix("gateway/") if provider else None
    return ("openai" if provider in ("openai-chat", "openai-responses") else provider), model


def context_window(model_name: str | None) -> int | None:
    """How many tokens the model takes in and gives out together, or None where that is not known.

    The numbers are genai-prices' own, from its package; nothing is downloaded.
    """
    if not model_name or model_name in OWN_MODELS:
        return None
    provider, model = _priced_ids(model_name)
    try:
        found = get_snapshot().find_provider_model(model, provider=None, provider_id=provider, provider_api_url=None)
    except LookupError:
        return None
    return found[1].context_window


def history_limit(model_name: str | None, wanted: int | None = None) -> int:
    """How many tokens of history to send: `wanted` or 50,000, but never more than the model has room for.

    Parameters
    ----------
    model_name
        The model, or None while none is chosen.
    wanted
        The session's own limit in tokens.

    Returns
    -------
    int
        Tokens. Of a model's context window, a quarter (at most 16,384 tokens) is left for the answer.
    """
    limit = HISTORY_TOKENS if wanted is None else wanted
    window = context_window(model_name)
    return limit if window is None else max(1, min(limit, window - min(_ANSWER_ROOM, window // 4)))


def price(model_name: str | None, usage: Usage) -> float | None:
    """What `usage` costs in US dollars: 0.0 for a model that is free, None where the price is not known.

    For agents that do not price their own runs; the prices are genai-prices' own, from its package.
    """
    if not model_name:
        return None
    if model_name in OWN_MODELS:
        return 0.0
    provider, model = _priced_ids(model_name)
    counted = PricedUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    try:
        return float(calc_price(counted, model, provider_id=provider).total_price)
    except (LookupError, ValueError):  # not a model it knows, or not counts it can price
        return None


def model_settings(options: Iterable[str] = (), temperature: float | None = None) -> dict[str, object]:
    """PydanticAI model settings from `--temperature T` and `--opt K=V`.

    Parameters
    ----------
    options
        `name=value` texts. A value is JSON where it reads as JSON, else text.
    temperature
        The sampling temperature; an option of that name overrides it.

    Raises
    ------
    BadInput
        An option without '=', an unknown name, or a value of the wrong type.

    >>> model_settings(["max_tokens=200", "openai_reasoning_effort=low"], temperature=0.2)
    {'temperature': 0.2, 'max_tokens': 200, 'openai_reasoning_effort': 'low'}
    """
    settings: dict[str, object] = {} if temperature is None else {"temperature": temperature}
    types = _setting_types()
    for option in options:
        name, equals, text = option.partition("=")
        name = name.strip()
        if not equals or not name:
            raise BadInput(f"--opt {option!r} is not NAME=VALUE. Write it as --opt max_tokens=200.")
        if name in types:
            settings[name] = _typed(name, text.strip(), types[name])
        elif _PROVIDER_SETTING.fullmatch(name):
            settings[name] = _json_or_text(text.strip())
        else:
            raise BadInput(
                f"No model setting is named {name!r}.{nearest(name, types)} "
                "A provider's own begin with its name, as openai_reasoning_effort; extra_body takes anything as JSON."
            )
    return settings


@lru_cache(maxsize=1)
def _setting_types() -> Mapping[str, object]:
    return typing.get_type_hints(ModelSettings)


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _typed(name: str, text: str, wanted: object) -> object:
    value = _json_or_text(text)
    try:
        config = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
        adapter = TypeAdapter(typing.cast("type[object]", wanted), config=config)
    except PydanticSchemaGenerationError:
        return value
    for candidate in (value, text, text.split(",")):
        try:
            return adapter.validate_python(candidate)
        except ValidationError:
            continue
    raise BadInput(f"--opt {name}={text}: {text!r} is not a value of {name!r}, which takes {_type_name(wanted)}.")


def _type_name(wanted: object) -> str:
    named = getattr(wanted, "__name__", None)
    return named if named and not typing.get_args(wanted) else str(wanted).replace("typing.", "")
