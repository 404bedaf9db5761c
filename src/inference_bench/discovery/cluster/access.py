"""Whose cluster, and with which credentials: a kubeconfig's context, or the account of the pod this runs in.

Reading kubeconfigs, plug-ins for credentials, tokens and certificates is the client library's work. Here it is decided
which of them is meant, and everything that can be wrong with them becomes one sentence.
"""

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from inference_bench.api.probe_http import clean_text
from inference_bench.config.rules import url_problem
from inference_bench.errors import ConfigError, NoServiceError

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient

EXTRA_HINT = "install it with: pip install 'vllm-benchmark[kubernetes]'"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_ACCOUNT_VARIABLE = (
    "KUBERNETES_SERVICE_ACCOUNT_DIR"  # where the account's files are, for clusters that mount them elsewhere
)
_HOST, _PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"
_DEFAULT_NAMESPACE = "default"
# A plug-in that asks a person to log in never ends by itself.
_CREDENTIALS_SECONDS = 8.0
_ASK_AGAIN_SECONDS = 60.0  # for a token that is about to expire; some are when they come
_LONGEST_TEXT = 300
_MOST_CONTEXTS = 10
_LOG_IN = "log in to the cluster first, or name another kubeconfig (KUBECONFIG; ~/.kube/config is the usual one)"


class ClusterUnavailableError(NoServiceError):
    """The cluster cannot be searched at all: no credentials, refused ones, or nobody who answers."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where credentials stand. `files` are kubeconfigs in order of precedence; without any it is the pod's account."""

    files: tuple[Path, ...]
    context: str | None = None
    account: Path = ACCOUNT

    @property
    def described(self) -> str:
        """What a person would call them."""
        if not self.files:
            return "the account of this pod"
        where = ", ".join(str(file) for file in self.files)
        return f"{where}, context {self.context}" if self.context is not None else where


@dataclass(frozen=True, slots=True)
class Cluster:
    """An opened cluster. `inside`: this program runs in it. `namespace` is the one its credentials name.

    `service_ca` is the file of OpenShift's authority for the certificates of Services, where the pod has it.
    """

    client: "ApiClient"
    server: str
    namespace: str
    inside: bool
    context: str | None = None
    service_ca: str | None = None


def find_credentials(environ: Mapping[str, str], context: str | None = None) -> Credentials | None:
    """Return the credentials that kubectl would use, None when there are none.

    KUBECONFIG, else ~/.kube/config, else the account that Kubernetes gives to a pod; an empty file (/dev/null) is none.
    Raises ClusterUnavailableError when KUBECONFIG names nothing that exists, or there is no kubeconfig for a context.
    """
    named = environ.get("KUBECONFIG", "")
    home = environ.get("HOME")
    if named:
        files = [Path(part).expanduser() for part in named.split(":") if part]
        if not any(_exists(file) for file in files):
            raise ClusterUnavailableError(f"KUBECONFIG names {named}, and there is no such file", hint=_LOG_IN)
    else:
        files = [Path(home) / ".kube" / "config"] if home else []
    there = tuple(file for file in files if _exists(file) and not _is_empty(file))
    if there:
        return Credentials(there, context)
    if context is not None:
        raise ClusterUnavailableError(f"there is no kubeconfig, so no context {context} either", hint=_LOG_IN)
    account = Path(environ.get(_ACCOUNT_VARIABLE) or ACCOUNT)
    if environ.get(_HOST) and _exists(account / "token"):
        return Credentials((), account=account)
    return None


def _exists(file: Path) -> bool:
    """Whether a file is there for this user: a home that belongs to another one holds no kubeconfig of ours."""
    try:
        return file.exists()
    except OSError:
        return False


def _is_empty(file: Path) -> bool:
    """Whether a file says nothing; a pipe has no size, and does."""
    return str(file) == os.devnull or (file.is_file() and file.stat().st_size == 0)


@asynccontextmanager
async def open_cluster(credentials: Credentials, environ: Mapping[str, str]) -> AsyncIterator[Cluster]:
    """Open a client for the API server; nothing has been asked of it yet.

    Raises ConfigError for a kubeconfig that cannot be used, ClusterUnavailableError where its plug-in gives no
    credentials or the library is not installed.
    """
    try:
        from kubernetes_asyncio.client import ApiClient, Configuration  # noqa: PLC0415 - optional, and slow to load
    except ImportError:
        raise ClusterUnavailableError("searching a cluster needs the extra `kubernetes`", hint=EXTRA_HINT) from None
    logging.getLogger("kubernetes_asyncio").addHandler(logging.NullHandler())  # what it has to say is in its errors
    configuration = Configuration()
    configuration.host = ""  # else it is this machine's port 80
    # Certificates of clusters are older than the strict rules of Python 3.13; kubectl does not apply those either.
    configuration.disable_strict_ssl_verification = True
    # Keys that the kubeconfig holds as text pass through files, which live as long as this block.
    with tempfile.TemporaryDirectory(prefix="vllm-benchmark-") as folder:
        if credentials.files:
            namespace = await _load_kubeconfig(configuration, credentials, folder)
        else:
            namespace = _load_account(configuration, credentials.account, environ)
        client = _client(ApiClient, configuration, credentials)
        try:
            yield Cluster(
                client=client,
                server=str(configuration.host),
                namespace=namespace,
                inside=not credentials.files or _same_host(str(configuration.host), environ),
                context=credentials.context,
                service_ca=_service_ca(credentials.account),
            )
        finally:
            await client.close()
            _forget_files(folder)


def _forget_files(folder: str) -> None:
    """Let the library write keys anew next time: by their content it remembers files that end with this block."""
    from kubernetes_asyncio.config import kube_config  # noqa: PLC0415

    remembered: dict[str, str] = getattr(kube_config, "_temp_files", {})
    for content, file in list(remembered.items()):
        if Path(file).parent == Path(folder):
            del remembered[content]


def _service_ca(account: Path) -> str | None:
    file = account / "service-ca.crt"
    return str(file) if file.is_file() else None


def _client(factory: Any, configuration: Any, credentials: Credentials) -> "ApiClient":
    try:
        client: ApiClient = factory(configuration)
    except (OSError, ValueError) as error:  # a certificate or key that is none
        raise _unusable(credentials, f"its certificates cannot be read: {_reason(error)}") from error
    return client


async def _load_kubeconfig(configuration: Any, credentials: Credentials, folder: str) -> str:
    """Let the library read the kubeconfig; return the namespace of its context."""
    import yaml  # noqa: PLC0415 - with the library
    from kubernetes_asyncio.config import ConfigException  # noqa: PLC0415
    from kubernetes_asyncio.config.kube_config import load_kube_config  # noqa: PLC0415

    try:
        async with asyncio.timeout(_CREDENTIALS_SECONDS):
            loader = await load_kube_config(
                ":".join(str(file) for file in credentials.files),
                context=credentials.context,
                client_configuration=configuration,
                persist_config=False,  # a search writes into nobody's files
                temp_file_path=folder,
            )
    except TimeoutError:
        raise ClusterUnavailableError(
            f"the credentials of {credentials.described} did not come within {_CREDENTIALS_SECONDS:g} s",
            hint="log in first: the plug-in that the kubeconfig names may be waiting for you",
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise _unusable(credentials, "it is not YAML", line=mark.line + 1 if mark is not None else None) from None
    except ConfigException as error:
        text = clean_text(str(error), _LONGEST_TEXT)
        if text.startswith("exec: process") or "failed to decode" in text:
            raise ClusterUnavailableError(
                f"the plug-in for credentials in {credentials.described} failed: {text}", hint="log in again"
            ) from None
        raise _unusable(credentials, text, contexts=_contexts(credentials)) from None
    except FileNotFoundError as error:
        raise ClusterUnavailableError(
            f"{credentials.described} names {error.filename}, and there is no such file",
            hint="install that plug-in for credentials, or correct the kubeconfig",
        ) from None
    except ImportError as error:
        raise ClusterUnavailableError(
            f"{credentials.described} uses an old kind of log-in (auth-provider) that needs {error.name}",
            hint="log in by a plug-in for credentials (exec) instead",
        ) from None
    except RecursionError:
        raise _unusable(credentials, "it is nested too deeply") from None
    except (OSError, ValueError, TypeError, AttributeError, KeyError, AssertionError) as error:
        raise _unusable(credentials, _reason(error)) from error
    problem = url_problem(configuration.host) if isinstance(configuration.host, str) else "is not given"
    if problem is not None:
        raise _unusable(credentials, f"the server of its cluster {problem.partition(';')[0]}")
    _keep_fresh(configuration, loader)
    chosen = loader.current_context or {}
    namespace = (chosen.get("context") or {}).get("namespace")
    return namespace if isinstance(namespace, str) and namespace else _DEFAULT_NAMESPACE


def _keep_fresh(configuration: Any, loader: Any) -> None:
    """Ask the plug-in again before its token expires: a run or a watch may be longer than a token's life."""
    from kubernetes_asyncio.config import ConfigException  # noqa: PLC0415

    if not hasattr(loader, "exec_plugin_expiry"):
        return
    turn, clock = asyncio.Lock(), asyncio.get_running_loop().time
    asked = clock()

    async def fresh(_: Any) -> None:
        nonlocal asked
        async with turn:
            if clock() - asked < _ASK_AGAIN_SECONDS:
                return
            asked = clock()
            # Without an answer the old token goes on; the server says when it no longer takes it.
            with suppress(ConfigException, OSError, ValueError, TypeError, TimeoutError):
                async with asyncio.timeout(_CREDENTIALS_SECONDS):
                    await loader.load_from_exec_plugin()
        configuration.api_key["BearerToken"] = loader.token

    configuration.refresh_api_key_hook = fresh


def _load_account(configuration: Any, account: Path, environ: Mapping[str, str]) -> str:
    from kubernetes_asyncio.config import ConfigException  # noqa: PLC0415
    from kubernetes_asyncio.config.incluster_config import InClusterConfigLoader  # noqa: PLC0415

    loader = InClusterConfigLoader(str(account / "token"), str(account / "ca.crt"), environ=dict(environ))
    try:
        loader.load_and_set(configuration)
        return (account / "namespace").read_text("utf-8").strip() or _DEFAULT_NAMESPACE
    except FileNotFoundError:
        return _DEFAULT_NAMESPACE
    except (ConfigException, OSError) as error:
        raise ClusterUnavailableError(
            f"the account of this pod cannot be used: {_reason(error)}",
            hint="the pod needs automountServiceAccountToken: true",
        ) from error


def _same_host(server: str, environ: Mapping[str, str]) -> bool:
    """Whether the API server is the one that this pod was given: a kubeconfig in a pod may mean another cluster."""
    host = urlsplit(server).hostname or ""
    given = environ.get(_HOST)
    return bool(given) and (host in (given, "kubernetes") or host.startswith("kubernetes.default"))


def _unusable(
    credentials: Credentials, problem: str, *, line: int | None = None, contexts: Sequence[str] = ()
) -> ConfigError:
    """Return the error for a kubeconfig that cannot be used; `contexts` are those it has."""
    if credentials.context is not None and contexts and credentials.context not in contexts:
        problem = f"it has no context {credentials.context}"
        hint = f"contexts: {', '.join(contexts[:_MOST_CONTEXTS])}" + (", …" if len(contexts) > _MOST_CONTEXTS else "")
    else:
        hint = "correct it, or log in again so that it is written anew"
    where = ", ".join(str(file) for file in credentials.files) + (f":{line}" if line is not None else "")
    return ConfigError(f"{where}: the kubeconfig cannot be used: {problem}", hint=hint)


def _contexts(credentials: Credentials) -> tuple[str, ...]:
    """Return the names of the contexts, as far as they can be read."""
    from kubernetes_asyncio.config import ConfigException  # noqa: PLC0415
    from kubernetes_asyncio.config.kube_config import KubeConfigMerger  # noqa: PLC0415

    try:
        merged = KubeConfigMerger(":".join(str(file) for file in credentials.files)).config
        listed = merged.value.get("contexts", []) if merged is not None else []
        return tuple(clean_text(str(one["name"]), _LONGEST_TEXT) for one in listed)
    except (ConfigException, OSError, ValueError, TypeError, AttributeError, KeyError):
        return ()


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return clean_text(str(text), _LONGEST_TEXT)
