"""Whose cluster, and with which credentials: a kubeconfig's context, or the account of the pod this runs in.

`kubeconfig` reads what a context names, `plugin` asks the command that some name for credentials; the client library
turns both into connections. Here it is decided which of them is meant, and what can be wrong becomes one sentence.
"""

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from inference_bench.api.probe_http import clean_text
from inference_bench.discovery.cluster.kubeconfig import read_kubeconfig, unusable
from inference_bench.discovery.cluster.plugin import Given, PluginError, ask_plugin
from inference_bench.errors import NoServiceError

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
_EARLY_SECONDS = 300.0  # so long before its end a token is replaced
_ASK_AGAIN_SECONDS = 60.0  # for a token that is about to expire; some are when they come
_LONGEST_TEXT = 300
_ASK_YOURSELF = "log in first: the plug-in may be waiting for you; run it yourself to see what it says"
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
        from kubernetes_asyncio.client import Configuration  # noqa: PLC0415 - optional, and slow to load
    except ImportError:
        raise ClusterUnavailableError("searching a cluster needs the extra `kubernetes`", hint=EXTRA_HINT) from None
    logging.getLogger("kubernetes_asyncio").addHandler(logging.NullHandler())  # what it has to say is in its errors
    configuration = Configuration()
    configuration.host = ""  # else it is this machine's port 80
    # Certificates of clusters are older than the strict rules of Python 3.13; kubectl does not apply those either.
    configuration.disable_strict_ssl_verification = True
    if credentials.files:
        client, namespace = await _by_kubeconfig(configuration, credentials, environ)
    else:
        client, namespace = _by_account(configuration, credentials.account, environ)
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


def _service_ca(account: Path) -> str | None:
    file = account / "service-ca.crt"
    return str(file) if file.is_file() else None


async def _by_kubeconfig(
    configuration: Any, credentials: Credentials, environ: Mapping[str, str]
) -> tuple["ApiClient", str]:
    """Return a client with the credentials of a kubeconfig's context, and the namespace of that."""
    from kubernetes_asyncio.client import ApiClient  # noqa: PLC0415

    told = read_kubeconfig(credentials.files, credentials.context)
    user = told.user
    given: Given | None = None
    if told.plugin is not None:
        try:
            given = await ask_plugin(told.plugin, environ, _CREDENTIALS_SECONDS)
        except PluginError as error:
            said = told.plugin.get("installHint")
            hint = clean_text(said, _LONGEST_TEXT) if isinstance(said, str) else _ASK_YOURSELF
            raise ClusterUnavailableError(
                f"the plug-in for credentials in {credentials.described} failed: {error}", hint=hint
            ) from None
        user = {**user, **given.user}
    # Keys that a kubeconfig holds as text pass through files, which are gone once the client has read them.
    with tempfile.TemporaryDirectory(prefix="vllm-benchmark-") as folder:
        try:
            await _load(configuration, told.for_library(user), credentials, folder)
            client = ApiClient(configuration)
        except (OSError, ValueError) as error:  # a certificate or key that is none
            raise unusable(credentials.files, f"its credentials cannot be read: {_reason(error)}") from None
        finally:
            _forget_files(folder)
    if told.plugin is not None and given is not None and given.expires is not None:
        _keep_fresh(configuration, told.plugin, given, environ)
    return client, told.namespace or _DEFAULT_NAMESPACE


async def _load(configuration: Any, content: dict[str, Any], credentials: Credentials, folder: str) -> None:
    """Let the library read what is left: certificates, tokens, and the old kinds of log-in, which ask a server."""
    import aiohttp  # noqa: PLC0415 - with the library
    from kubernetes_asyncio.config import ConfigException  # noqa: PLC0415
    from kubernetes_asyncio.config.kube_config import load_kube_config_from_dict  # noqa: PLC0415

    hint = "log in again, or by a plug-in for credentials (exec)"
    try:
        async with asyncio.timeout(_CREDENTIALS_SECONDS):
            await load_kube_config_from_dict(content, client_configuration=configuration, temp_file_path=folder)
    except TimeoutError:
        problem = f"the credentials of {credentials.described} did not come within {_CREDENTIALS_SECONDS:g} s"
        raise ClusterUnavailableError(problem, hint=hint) from None
    except (ConfigException, aiohttp.ClientError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        problem = f"the log-in of {credentials.described} (auth-provider) failed: {_reason(error)}"
        raise ClusterUnavailableError(problem, hint=hint) from None


def _forget_files(folder: str) -> None:
    """Let the library write keys anew next time: by their content it remembers files that end with the folder."""
    from kubernetes_asyncio.config import kube_config  # noqa: PLC0415

    remembered: dict[str, str] = getattr(kube_config, "_temp_files", {})
    for content, file in list(remembered.items()):
        if Path(file).parent == Path(folder):
            del remembered[content]


def _keep_fresh(configuration: Any, plugin: Mapping[str, object], given: Given, environ: Mapping[str, str]) -> None:
    """Ask the plug-in again before its token expires: a run or a watch may be longer than a token's life."""
    turn, clock = asyncio.Lock(), asyncio.get_running_loop().time
    asked = clock()

    async def fresh(_: Any) -> None:
        nonlocal asked, given
        async with turn:
            if clock() - asked < _ASK_AGAIN_SECONDS or not given.ends_within(_EARLY_SECONDS):
                return
            asked = clock()
            # Without an answer the old token goes on; the server says when it no longer takes it.
            with suppress(PluginError):
                given = await ask_plugin(plugin, environ, _CREDENTIALS_SECONDS)
                if "token" in given.user:
                    configuration.api_key["BearerToken"] = f"Bearer {given.user['token']}"

    configuration.refresh_api_key_hook = fresh


def _by_account(configuration: Any, account: Path, environ: Mapping[str, str]) -> tuple["ApiClient", str]:
    """Return a client with the account of this pod, and the pod's namespace."""
    from kubernetes_asyncio.client import ApiClient  # noqa: PLC0415
    from kubernetes_asyncio.config import ConfigException  # noqa: PLC0415
    from kubernetes_asyncio.config.incluster_config import InClusterConfigLoader  # noqa: PLC0415

    loader = InClusterConfigLoader(str(account / "token"), str(account / "ca.crt"), environ=dict(environ))
    try:
        loader.load_and_set(configuration)
        _without_line_ends(configuration)
        client = ApiClient(configuration)
    except (ConfigException, OSError, ValueError) as error:
        raise ClusterUnavailableError(
            f"the account of this pod cannot be used: {_reason(error)}",
            hint="the pod needs automountServiceAccountToken: true",
        ) from error
    try:
        namespace = (account / "namespace").read_text("utf-8").strip()
    except (OSError, ValueError):
        namespace = ""
    return client, namespace or _DEFAULT_NAMESPACE


def _without_line_ends(configuration: Any) -> None:
    """Send the token of a file without the line's end, which no header may hold; the file is read anew at times."""
    from kubernetes_asyncio.config import ConfigException  # noqa: PLC0415

    reread = configuration.refresh_api_key_hook

    def stripped(settings: Any) -> None:
        # Without a new token the old one goes on; the server says when it no longer takes it.
        with suppress(ConfigException, OSError, ValueError):
            reread(settings)
        settings.api_key["BearerToken"] = settings.api_key["BearerToken"].strip()

    configuration.refresh_api_key_hook = stripped


def _same_host(server: str, environ: Mapping[str, str]) -> bool:
    """Whether the API server is the one that this pod was given: a kubeconfig in a pod may mean another cluster."""
    host = urlsplit(server).hostname or ""
    given = environ.get(_HOST)
    return bool(given) and (host in (given, "kubernetes") or host.startswith("kubernetes.default"))


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return clean_text(str(text), _LONGEST_TEXT)
