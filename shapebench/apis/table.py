"""The APIs that can be measured. A new one is a module like `openai`, a name and a line here."""

from typing import Literal

from shapebench.apis.api import Api
from shapebench.apis.openai import CHAT, COMPLETIONS

ApiName = Literal["chat", "completions"]

APIS: dict[str, Api] = {"chat": CHAT, "completions": COMPLETIONS}
