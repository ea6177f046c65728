import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const made = new URL("dist/", import.meta.url).pathname;
const built = new URL("../netsessions/web/", import.meta.url).pathname;

/** Beside every file that is text, the same compressed: the server has nothing to compress then. All move when all is there. */
const compressed: Plugin = {
  name: "compressed",
  apply: "build",
  writeBundle: {
    order: "post",
    sequential: true,
    handler() {
      for (const name of readdirSync(made, { recursive: true, encoding: "utf8" })) {
        if (!/\.(html|js|css|svg|json)$/.test(name)) continue;
        const path = join(made, name);
        const content = readFileSync(path);
        // The last tenth of GraphiQL's large files is not worth twenty seconds of everybody's build.
        const quality = content.length < 250_000 ? constants.BROTLI_MAX_QUALITY : 9;
        writeFileSync(`${path}.br`, brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: quality } }));
        writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
      }
      rmSync(built, { recursive: true, force: true });
      renameSync(made, built);
    },
  },
};

export default defineConfig({
  plugins: [compressed],
  // For work on the pages: `npx vite` asks the server that runs beside it.
  server: { proxy: { "/graphql": { target: "http://127.0.0.1:20212", ws: true } } },
  build: {
    outDir: made,
    modulePreload: { polyfill: false },
    // Small images stay files: the pages' policy takes nothing out of an address.
    assetsInlineLimit: 0,
    // Monaco in one piece is what it is.
    chunkSizeWarningLimit: 4000,
    rolldownOptions: {
      input: ["index.html", "graphiql.html"],
      onLog(level, log, told) {
        // React's libraries say which of them run in a browser; here, all do.
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") told(level, log);
      },
    },
  },
});
