"""PostGraphile, the GraphQL server that others would put in front of the same tables: from npm, outside the repository."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson

from benchmarks.data import cache
from benchmarks.servers import Server, free_port

# Release 5 wants node 22, which comes as a package too: the one of the system may be older.
PACKAGES = {"node": "22.23.3", "postgraphile": "5.1.5"}

# Amber is the preset that its manual gives to every production schema. Without GraphiQL, watching and websockets; it waits
# for no notifications, and writes its answers in the way of two that took less. Conditions and orders by all columns: by
# itself it offers those that an index begins with.
SERVER = """
import { createServer } from "node:http";
import { grafserv } from "postgraphile/grafserv/node";
import { makePgService } from "postgraphile/adaptors/pg";
import { postgraphile } from "postgraphile";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";

const [url, port] = process.argv.slice(2);
const pgl = postgraphile({
  extends: [PostGraphileAmberPreset],
  disablePlugins: ["PgIndexBehaviorsPlugin"],
  pgServices: [makePgService({ connectionString: url, schemas: ["public"], pubsub: false })],
  grafserv: { graphiql: false, watch: false, websockets: false, outputDataAsString: true },
  grafast: { explain: false },
});
const served = pgl.createServ(grafserv);
const server = createServer();
server.once("listening", () => server.on("error", console.error));
await served.addTo(server);
await served.ready();
server.listen(Number(port), "127.0.0.1");
"""


def installed() -> Path | None:
    """The folder of an installation, made once for each choice of releases; None where that cannot be done."""
    npm = shutil.which("npm")
    folder = cache() / "postgraphile"
    wanted = orjson.dumps({"private": True, "type": "module", "dependencies": PACKAGES})
    done, described = folder / "installed.json", folder / "package.json"
    if not done.exists() or done.read_bytes() != wanted:
        if npm is None:
            return None
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        described.write_bytes(wanted)
        ran = subprocess.run([npm, "install", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, check=False)
        if ran.returncode or not (folder / "node_modules/.bin/node").exists():
            return None
        done.write_bytes(wanted)
    (folder / "server.js").write_text(SERVER, encoding="utf-8")
    return folder


@contextmanager
def the_postgraphile(folder: Path, url: str, also: Callable[[], float]) -> Iterator[Server]:
    """The server on a database."""
    port = free_port()
    command = [str(folder / "node_modules/.bin/node"), str(folder / "server.js"), url, str(port)]
    with ExitStack() as stack:
        server = Server(command, port, {"NODE_ENV": "production", "GRAPHILE_ENV": "production"}, also)
        stack.callback(server.stop)
        yield server
