"""The settings of section `services`: how services are found, reached and waited for. No I/O, no secrets."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from inference_bench.config.rules import (
    ENV_REFERENCE,
    HEADER_NAME_PATTERN,
    base_url,
    env_name,
    first_repeated,
    line_of_text,
    looks_secret,
    name,
    namespace_name,
    refuse,
    secret_word,
)

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

Name = Annotated[str, AfterValidator(name)]
Text = Annotated[str, AfterValidator(line_of_text)]
PositiveSeconds = Annotated[float, Field(gt=0)]


class EndpointSettings(BaseModel):
    """One service that was named: where it listens and how it is spoken to."""

    model_config = STRICT

    name: Name | None = Field(
        default=None, description="The service's name in every table and file; without it, the engine's name."
    )
    engine: Name | None = Field(
        default=None,
        description="The engine (vllm, tgi, ollama, openai, …); without it the service is probed.",
    )
    url: Annotated[str, AfterValidator(base_url)] = Field(description="The base URL, such as http://localhost:8000.")
    model: Text | None = Field(default=None, description="The model's name as this server knows it.")
    api_key_env: Annotated[str, AfterValidator(env_name)] | None = Field(
        default=None, description="The name of the environment variable that holds the API key."
    )
    ca_file: Text | None = Field(default=None, description="A file of certificates (PEM) to trust for this service.")
    insecure_skip_verify: bool = Field(default=False, description="Do not check the server's certificate.")
    headers: Mapping[str, str] = Field(
        default_factory=dict,
        description="Extra request headers. A secret value is written as env:VARIABLE and read when it is sent.",
    )

    @property
    def service_name(self) -> str | None:
        """The name it goes by: its own, else its engine's; None until it has been probed."""
        return self.name or self.engine

    @model_validator(mode="after")
    def _check_headers(self) -> Self:
        for header, value in self.headers.items():
            if HEADER_NAME_PATTERN.fullmatch(header) is None:
                raise refuse("is not a header name", "headers")
            if not value.isprintable():
                raise refuse("the value holds control characters", "headers", header)
            if value.startswith(ENV_REFERENCE):
                env_name(value.removeprefix(ENV_REFERENCE))
            elif secret_word(header) or looks_secret(value):
                raise refuse(
                    "looks like a secret: write env:VARIABLE here, or name the variable in api_key_env",
                    "headers",
                    header,
                )
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        for key, given in (("ca_file", self.ca_file is not None), ("insecure_skip_verify", self.insecure_skip_verify)):
            if given and not self.url.lower().startswith("https:"):
                raise refuse("is used with https:// only", key)
        if self.ca_file is not None and self.insecure_skip_verify:
            raise refuse("excludes ca_file: the certificate is either checked or not", "insecure_skip_verify")
        return self


class ServicesSettings(BaseModel):
    """How services are found, how long they are waited for, and which were named."""

    model_config = STRICT

    namespace: Annotated[str, AfterValidator(namespace_name)] | None = Field(
        default=None, description="The Kubernetes namespace to search, * for all; then this machine's ports are not."
    )
    context: Text | None = Field(
        default=None, description="The context of the kubeconfig, so the cluster, to search; else its current one."
    )
    port_forward: bool = Field(
        default=False, description="Reach services of the cluster that no URL leads to through its API server."
    )
    discovery: bool = Field(
        default=True,
        description="Look for services: in the cluster where namespace or context is set, else, without endpoints, "
        "on this machine's usual ports.",
    )
    simulate: bool = Field(default=False, description="Measure embedded simulated engines instead of real services.")
    timeout_seconds: PositiveSeconds = Field(default=300.0, description="The longest a whole exchange may take.")
    idle_timeout_seconds: PositiveSeconds = Field(default=60.0, description="The longest silence inside an exchange.")
    connect_timeout_seconds: PositiveSeconds = Field(default=5.0, description="The longest a connection may take.")
    health_check_retries: int = Field(
        default=3, ge=0, le=100, description="How often a failed health check is tried again."
    )
    endpoints: Annotated[tuple[EndpointSettings, ...], Field(strict=False)] = Field(
        default=(), description="Services by URL."
    )

    @property
    def cluster(self) -> bool:
        """Whether a cluster is to be searched."""
        return self.discovery and (self.namespace is not None or self.context is not None)

    @model_validator(mode="after")
    def _check(self) -> Self:
        repeated = first_repeated(endpoint.service_name for endpoint in self.endpoints)
        if repeated is not None:
            position, service = repeated
            raise refuse(f"the name {service!r} is taken; give each endpoint a name", "endpoints", position, "name")
        if self.simulate and self.endpoints:
            raise refuse("excludes endpoints: simulated engines stand in the place of real services", "simulate")
        if not self.discovery and (self.namespace is not None or self.context is not None):
            raise refuse("must be on for a cluster to be searched (namespace, context)", "discovery")
        if self.idle_timeout_seconds > self.timeout_seconds:
            raise refuse("must not be longer than timeout_seconds, the whole exchange", "idle_timeout_seconds")
        return self
