"""Kubeconfigs: several files read as one, as kubectl does it, and the one context that is meant with all it names.

What comes out is a kubeconfig for the client library. Given the files themselves, the library would follow the last
file's choice of a context, look for certificates beside the wrong file, and repeat whole users, with their tokens, when
it says what is wrong. Nothing here repeats a value that may be a secret.
"""

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inference_bench.api.probe_http import clean_text
from inference_bench.api.telling import Json, mapping
from inference_bench.config.rules import url_problem
from inference_bench.errors import ConfigError

CORRECT_IT = "correct it, or log in again so that it is written anew"
_KINDS = {"contexts": "context", "clusters": "cluster", "users": "user"}
_DATA = ("certificate-authority-data", "client-certificate-data", "client-key-data")
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_TEXTS = {
    "cluster": ("server", "tls-server-name", "proxy-url", "certificate-authority", "certificate-authority-data"),
    "user": ("token", "tokenFile", "client-certificate", "client-certificate-data", "client-key", "client-key-data"),
}
_AS_THEY_ARE = ("insecure-skip-tls-verify", "username", "password", "auth-provider")
_ON_BEHALF = ("as", "as-uid", "as-groups", "as-user-extra")
_OLD_LOG_INS = ("oidc", "gcp")
_MOST_CONTEXTS = 10
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """One context: its cluster and user as the client library reads them, paths absolute; `plugin` gives credentials.

    `namespace` is None where the context names none.
    """

    cluster: Mapping[str, Any]
    user: Mapping[str, Any]
    plugin: Json | None
    namespace: str | None

    def for_library(self, user: Mapping[str, Any]) -> dict[str, Any]:
        """Return it as a kubeconfig of its own, with what the plug-in gave in the place of the user."""
        return {
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": dict(self.cluster)}],
            "users": [{"name": "it", "user": dict(user)}],
        }


@dataclass(slots=True)
class _Merged:
    """Entries of all files by kind and name, each with its file; the first that says something counts."""

    files: Sequence[Path]
    entries: dict[str, dict[str, tuple[Path, Json]]] = field(default_factory=lambda: {kind: {} for kind in _KINDS})
    current: str | None = None


def unusable(files: Sequence[Path], problem: str, *, line: int | None = None, hint: str = CORRECT_IT) -> ConfigError:
    """Return the error for a kubeconfig, or several that are one, that cannot be used."""
    where = ", ".join(str(file) for file in files) + (f":{line}" if line is not None else "")
    file = files[0] if len(files) == 1 else None
    return ConfigError(f"{where}: the kubeconfig cannot be used: {problem}", file=file, line=line, hint=hint)


def read_kubeconfig(files: Sequence[Path], context: str | None = None) -> Kubeconfig:
    """Read the context, or else the current one, out of files in order of precedence. Raises ConfigError.

    Entries that are half-broken count as not there, as long as the context does not need them.
    """
    merged = _Merged(files)
    for file in files:
        _merge(merged, file, _load(file))
    chosen = _context(merged, context)
    cluster_file, cluster = _named(merged, "clusters", chosen)
    user_file, user = _named(merged, "users", chosen) if chosen.get("user") not in (None, "") else (cluster_file, {})
    namespace = chosen.get("namespace")
    return Kubeconfig(
        cluster=_cluster(cluster, cluster_file),
        user=_user(user, user_file),
        plugin=_plugin(user, user_file),
        namespace=namespace if isinstance(namespace, str) and namespace else None,
    )


def _load(file: Path) -> Json:
    import yaml  # noqa: PLC0415 - with the client library

    try:
        told = yaml.safe_load(file.read_bytes())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise unusable((file,), "it is not YAML", line=mark.line + 1 if mark is not None else None) from None
    except RecursionError:
        raise unusable((file,), "it is nested too deeply") from None
    except OSError as error:
        raise unusable(
            (file,), f"{error.strerror or type(error).__name__}", hint="is it a file you may read?"
        ) from None
    except ValueError:
        raise unusable((file,), "it holds values that cannot be read") from None
    if told is None:
        return {}
    if not isinstance(told, dict):
        raise unusable((file,), "it is not a mapping of keys to values")
    return told


def _merge(merged: _Merged, file: Path, told: Json) -> None:
    for kind, inner in _KINDS.items():
        listed = told.get(kind)
        if listed is not None and not isinstance(listed, list):
            raise unusable((file,), f"its {kind} are not a list")
        for entry in listed or ():
            name = entry.get("name") if isinstance(entry, dict) else None
            if isinstance(name, str):
                merged.entries[kind].setdefault(name, (file, mapping(entry, inner)))
    current = told.get("current-context")
    if merged.current is None and isinstance(current, str) and current:
        merged.current = current


def _context(merged: _Merged, named: str | None) -> Json:
    contexts = merged.entries["contexts"]
    wanted = named if named is not None else merged.current
    if wanted in contexts:
        return contexts[wanted][1]
    known = [clean_text(name, _LONGEST_NAME) for name in contexts]
    more = ", …" if len(known) > _MOST_CONTEXTS else ""
    hint = f"contexts: {', '.join(known[:_MOST_CONTEXTS])}{more}" if known else "it has none: log in to the cluster"
    if wanted is None:
        raise unusable(merged.files, "it names no current context", hint=f"{hint}; --context chooses one")
    raise unusable(merged.files, f"it has no context {clean_text(wanted, _LONGEST_NAME)}", hint=hint)


def _named(merged: _Merged, kind: str, context: Json) -> tuple[Path, Json]:
    name = context.get(_KINDS[kind])
    if not isinstance(name, str) or not name:
        raise unusable(merged.files, f"its context names no {_KINDS[kind]}")
    if name not in merged.entries[kind]:
        shown = clean_text(name, _LONGEST_NAME)
        raise unusable(merged.files, f"its context names the {_KINDS[kind]} {shown}, which it does not have")
    return merged.entries[kind][name]


def _cluster(told: Json, file: Path) -> dict[str, Any]:
    read = _checked("cluster", told, file)
    problem = url_problem(read["server"]) if "server" in read else "is not given"
    if problem is not None:
        raise unusable((file,), f"the server of its cluster {problem.partition(';')[0]}")
    if "proxy-url" in read and _scheme(read["proxy-url"]) not in ("http", "https"):
        raise unusable((file,), "the proxy-url of its cluster is not that of an HTTP proxy", hint="others do not work")
    return read


def _user(told: Json, file: Path) -> dict[str, Any]:
    if any(told.get(key) for key in _ON_BEHALF):
        # Left out, the search would have the rights of somebody else than kubectl has with this file.
        raise unusable((file,), "its user acts on behalf of another (as), which is not done here", hint=CORRECT_IT)
    read = _checked("user", told, file)
    if "tokenFile" in read:  # kubectl prefers it to a token
        token_file = Path(read.pop("tokenFile"))
        try:
            read["token"] = token_file.read_text("utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise unusable((file,), f"the tokenFile of its user, {token_file}: {reason}") from None
    if "token" in read:
        read["token"] = read["token"].strip()
        if not read["token"].isprintable():
            raise unusable((file,), "the token of its user is more than one line")
    if "client-key" in read or "client-key-data" in read:
        _check_key(read, file)
    provider = read.get("auth-provider")
    if provider is not None and (not isinstance(provider, dict) or provider.get("name") not in _OLD_LOG_INS):
        raise unusable((file,), "its user logs in by an auth-provider that is not known", hint="log in by exec instead")
    return read


def _check_key(user: Mapping[str, Any], file: Path) -> None:
    """Refuse a key with a passphrase: OpenSSL would ask for it on the terminal, and wait."""
    data = user.get("client-key-data")
    pem = base64.b64decode(data) if data is not None else Path(user["client-key"]).read_bytes()
    if b"ENCRYPTED" in pem:
        raise unusable((file,), "the client-key of its user has a passphrase", hint="such keys do not work here")


def _checked(kind: str, told: Json, file: Path) -> dict[str, Any]:
    """Return what is known of a cluster or user: texts that are text, files that are there, data that can be read."""
    read: dict[str, Any] = {key: told[key] for key in _AS_THEY_ARE if told.get(key) is not None}
    for key in _TEXTS[kind]:
        value = told.get(key)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise unusable((file,), f"the {key} of its {kind} is not text")
        if key in _DATA and not _is_base64(value):
            raise unusable((file,), f"the {key} of its {kind} is not base64")
        read[key] = str(file.absolute().parent / value) if key in _FILES else value
    for key in _FILES:
        if f"{key}-data" in read:
            read.pop(key, None)
        if key in read and not os.access(read[key], os.R_OK):
            problem = "and you may not read it" if Path(read[key]).exists() else "and there is no such file"
            raise unusable((file,), f"the {key} of its {kind} is {read[key]}, {problem}")
    return read


def _plugin(user: Json, file: Path) -> Json | None:
    told = user.get("exec")
    if told is None:
        return None
    plugin = mapping(user, "exec")
    arguments, variables = plugin.get("args") or [], plugin.get("env") or []
    command = plugin.get("command")
    texts = [command, plugin.get("apiVersion"), *(arguments if isinstance(arguments, list) else [None])]
    for one in variables if isinstance(variables, list) else [None]:
        texts += [one.get("name"), one.get("value")] if isinstance(one, dict) else [None]
    if not command or not all(isinstance(one, str) for one in texts):
        raise unusable((file,), "the plug-in (exec) of its user needs command, apiVersion, args and env that are text")
    beside = os.sep in str(command)  # such a path starts at the kubeconfig
    return {**plugin, "command": str(file.absolute().parent / str(command))} if beside else plugin


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value)
    except ValueError:
        return False
    return True


def _scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.scheme if parts.hostname else ""
