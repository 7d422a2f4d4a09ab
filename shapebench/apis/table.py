"""The APIs that can be measured. A new one is a module like `openai`, a name and a line here."""

from typing import Literal

from shapebench.apis.api import Api
from shapebench.apis.bedrock import BEDROCK
from shapebench.apis.messages import MESSAGES
from shapebench.apis.oci import OCI
from shapebench.apis.openai import CHAT, COMPLETIONS
from shapebench.apis.responses import RESPONSES
from shapebench.apis.sagemaker import SAGEMAKER
from shapebench.apis.tgi import TGI
from shapebench.apis.vertex import VERTEX

ApiName = Literal["chat", "completions", "responses", "messages", "tgi", "oci", "vertex", "sagemaker", "bedrock"]

APIS: dict[str, Api] = {
    "chat": CHAT,
    "completions": COMPLETIONS,
    "responses": RESPONSES,
    "messages": MESSAGES,
    "tgi": TGI,
    "oci": OCI,
    "vertex": VERTEX,
    "sagemaker": SAGEMAKER,
    "bedrock": BEDROCK,
}
