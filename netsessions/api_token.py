"""The server's own token: the one that is configured, or one that is generated once and stored in the data folder."""

import os
import secrets
from pathlib import Path

import click

from netsessions.settings import VALID_TOKEN, Settings


def load_or_create(settings: Settings) -> tuple[str, Path | None]:
    """Return the token, and the file that stores it unless it is configured in API_TOKEN.

    Create the data folder and the token file if they are missing. Raise OSError, or ClickException if the file does
    not contain a valid token.
    """
    if settings.api_token is not None:
        return settings.api_token.get_secret_value(), None
    path = settings.data_folder / "api_token"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # O_EXCL with the mode: no other user can read the file at any moment, and a second start cannot replace it.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        token = path.read_text(encoding="ascii", errors="replace").strip()
        if not VALID_TOKEN.fullmatch(token):
            raise click.ClickException(
                f"{path} does not contain a token of at least 8 visible ASCII characters; delete the file to have a "
                "new token generated, or set API_TOKEN."
            ) from None
        return token, path
    token = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    return token, path
