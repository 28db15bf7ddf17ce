"""What went wrong with a model, in one sentence that says what to do."""

from __future__ import annotations

from pydantic_ai import exceptions as pydantic_errors
from pydantic_ai.exceptions import ModelAPIError

from chatnb.errors import ChatnbError

__all__ = ["sentence"]

_KEYS = {
    "google": "GOOGLE_API_KEY",
    "google-cloud": "GOOGLE_APPLICATION_CREDENTIALS",
    "bedrock": "AWS_BEARER_TOKEN_BEDROCK",
    "huggingface": "HF_TOKEN",
    "azure": "AZURE_OPENAI_API_KEY",
    "cohere": "CO_API_KEY",
}


def sentence(error: BaseException, provider: str | None = None) -> str:
    """What failed, with the provider's status code, and what to do about it.

    Parameters
    ----------
    error
        What the run raised.
    provider
        The provider's name, as 'openai'.
    """
    who = provider or "The model's provider"
    if isinstance(error, BaseExceptionGroup) and error.exceptions:
        fallback = isinstance(error, pydantic_errors.FallbackExceptionGroup)  # its models may be of several providers
        return sentence(error.exceptions[-1], None if fallback else provider)
    if isinstance(error, ModelAPIError):
        return f"{who} {_of_api(error, provider)}"
    if isinstance(error, ChatnbError):
        return str(error)
    if isinstance(error, pydantic_errors.OutputTokenLimitExceeded):
        return "The answer reached its length limit before it was complete; allow more with --opt max_tokens=N."
    if isinstance(error, pydantic_errors.UnexpectedModelBehavior):
        return f"The model's answer could not be used: {error.message}"
    if isinstance(error, pydantic_errors.UserError):
        return f"The agent could not run: {error}"
    if isinstance(error, RuntimeError) and "different event loop" in str(error):
        return (
            f"{who}'s connections belong to another event loop that still runs; "
            "make the agent's model anew in this cell, and run the cell again."
        )
    return f"{type(error).__name__}: {error}"


def _of_api(error: ModelAPIError, provider: str | None) -> str:
    code = _code(error)
    match error:
        case pydantic_errors.ModelAuthenticationError():
            return f"refused the key{code}. Check {_key(provider)}, and that the key may use {error.model_name!r}."
        case pydantic_errors.ModelQuotaExceededError():
            return f"says that the account has no credit left{code}. Top it up, or choose another model with -m."
        case pydantic_errors.ModelRateLimitError():
            return f"limits the rate of requests{code}, also after retries. Run the cell again {_when(error)}."
        case pydantic_errors.ModelContextWindowExceededError():
            return (
                f"says that the conversation is too long for {error.model_name!r}{code}. "
                "Send less of it with -n 4, or begin anew with %chat new."
            )
        case pydantic_errors.ModelNotFoundError():
            suggested = getattr(error, "suggested_model_id", None)
            hint = f"Did you mean {suggested!r}?" if suggested else "Choose another with -m."
            return f"has no model {error.model_name!r}{code}. {hint}"
        case pydantic_errors.ModelRequestTimeout() | pydantic_errors.ModelTimeoutError():
            return "did not answer in time. Run the cell again, or allow more with --opt timeout=SECONDS."
        case pydantic_errors.ModelConnectionError() if error.in_stream or error.phase == "read":
            return "dropped the connection before the answer was complete. What came is kept; %chat retry asks again."
        case pydantic_errors.ModelConnectionError():
            return f"cannot be reached ({_said(error)}). Check the network and the provider's address."
        case pydantic_errors.ModelUnavailableError() | pydantic_errors.ModelServerError():
            return f"failed{code}: {_said(error)}. Run the cell again {_when(error)}."
    return f"refused the request{code}: {_said(error)}"


def _code(error: ModelAPIError) -> str:
    status = getattr(error, "status_code", None)
    return f" ({status})" if status else ""


def _when(error: ModelAPIError) -> str:
    return f"in {error.retry_after:.0f} s" if error.retry_after else "in a minute"


def _key(provider: str | None) -> str:
    if provider is None:
        return "its environment variable"
    name = provider.split("/")[-1]
    return f"the environment variable {_KEYS.get(name, name.replace('-', '_').upper() + '_API_KEY')}"


def _said(error: ModelAPIError) -> str:
    """The provider's own words, from the shapes that error bodies have."""
    body: object = error.body
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    if isinstance(body, dict) and body.get("message"):
        return str(body["message"]).rstrip(".")
    text = str(body) if body else str(error.message)
    return " ".join(text.split())[:300].rstrip(".")
