"""The examples under a command's help, in the form that the help's renderer leaves line by line."""


def examples(*commands: str) -> str:
    """Return an epilog that shows these commands, a line each; 74 characters fit a narrow terminal."""
    return "\n\n".join(["Examples:", *(f"$ {command}" for command in commands)])
