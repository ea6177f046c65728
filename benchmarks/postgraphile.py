"""PostGraphile, a widely used GraphQL server for PostgreSQL, installed from npm outside the repository."""

import shutil
import subprocess
from pathlib import Path

import orjson

from benchmarks.data import cache_folder

# Release 5 requires Node.js 22. It is installed as a package, because the system's may be older.
PACKAGES = {"node": "22.23.3", "postgraphile": "5.1.5"}

# Amber is the preset that PostGraphile's manual recommends for production. GraphiQL, watch mode, WebSockets and
# notifications are off. `outputDataAsString` was the faster of the two output modes. Without PgIndexBehaviorsPlugin,
# conditions and orders exist for all columns and not only for the first column of each index.
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


def install() -> Path | None:
    """Install PostGraphile unless it is cached. Return its folder, or None if npm is missing or fails."""
    npm = shutil.which("npm")
    folder = cache_folder() / "postgraphile"
    package = orjson.dumps({"private": True, "type": "module", "dependencies": PACKAGES})
    installed, package_json = folder / "installed.json", folder / "package.json"
    if not installed.exists() or installed.read_bytes() != package:
        if npm is None:
            return None
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        package_json.write_bytes(package)
        finished = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, check=False
        )
        if finished.returncode or not (folder / "node_modules/.bin/node").exists():
            return None
        installed.write_bytes(package)
    (folder / "server.js").write_text(SERVER, encoding="utf-8")
    return folder
