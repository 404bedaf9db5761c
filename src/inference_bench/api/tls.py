"""The one TLS set-up of a client, for probes and for the measured exchange alike."""

import ssl


def client_context(ca_file: str | None, *, insecure_skip_verify: bool) -> ssl.SSLContext:
    """Return a client context that trusts `ca_file`, or the system's authorities without one.

    Raises OSError (ssl.SSLError is one) when the file cannot be read or holds no certificates.
    """
    context = ssl.create_default_context(cafile=ca_file)
    if insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
