"""Logging configuration of the commands."""

import logging
import sys

import structlog


def configure_logging(level: str) -> None:
    """Log one JSON object per line to stderr, from this program and from its libraries, with times in UTC."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("uvicorn.access").disabled = True  # `AccessLog` logs more
    logging.getLogger("uvicorn.error").addFilter(_is_not_websocket_traffic)
    if level == "info":
        logging.getLogger("alembic").setLevel(logging.WARNING)  # it would log its context at every start


def _is_not_websocket_traffic(record: logging.LogRecord) -> bool:
    """Return False for the web server's records of WebSocket addresses, headers and messages: they may hold tokens."""
    return record.levelno >= logging.WARNING or "websockets" not in record.pathname
