import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const buildDir = new URL("dist/", import.meta.url).pathname;
const webDir = new URL("../netsessions/web/", import.meta.url).pathname;

/** Writes compressed copies of all text files, for the server to send as they are. Then moves the complete build into place. */
const precompress: Plugin = {
  name: "precompress",
  apply: "build",
  writeBundle: {
    order: "post",
    sequential: true,
    handler() {
      for (const name of readdirSync(buildDir, { recursive: true, encoding: "utf8" })) {
        if (!/\.(html|js|css|svg|json)$/.test(name)) continue;
        const path = join(buildDir, name);
        const content = readFileSync(path);
        // The best quality would shrink GraphiQL's large files by another tenth, and take twenty seconds.
        const quality = content.length < 250_000 ? constants.BROTLI_MAX_QUALITY : 9;
        writeFileSync(`${path}.br`, brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: quality } }));
        writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
      }
      rmSync(webDir, { recursive: true, force: true });
      renameSync(buildDir, webDir);
    },
  },
};

export default defineConfig({
  plugins: [precompress],
  // For development: `npx vite` forwards requests to a local server.
  server: { proxy: { "/graphql": { target: "http://127.0.0.1:20212", ws: true } } },
  build: {
    outDir: buildDir,
    modulePreload: { polyfill: false },
    // Keep small images as files: the pages load no data: URLs of their own.
    assetsInlineLimit: 0,
    // Monaco is one large chunk.
    chunkSizeWarningLimit: 4000,
    rolldownOptions: {
      input: ["index.html", "graphiql.html"],
      onLog(level, log, handle) {
        // The "use client" directives of React libraries have no effect here.
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") handle(level, log);
      },
    },
  },
});
