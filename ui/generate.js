// Writes src/operations.ts: every operation of src/operations.graphql as a text that knows its variables and its answer.
import { readFileSync, writeFileSync } from "node:fs";
import { codegen } from "@graphql-codegen/core";
import * as documents from "@graphql-codegen/typed-document-node";
import * as types from "@graphql-codegen/typescript-operations";
import { parse } from "graphql";

const parsed = (path) => parse(readFileSync(new URL(path, import.meta.url), "utf8"));
const text = "string";

const written = await codegen({
  filename: "operations.ts",
  schema: parsed("../schema/schema.graphql"),
  documents: [{ location: "operations.graphql", document: parsed("src/operations.graphql") }],
  config: {
    documentMode: "string",
    enumType: "string-literal",
    scalars: { Date: text, DateTime: text, IPAddress: text, MAC: text, Period: text },
    strictScalars: true,
    useTypeImports: true,
  },
  plugins: [{ types: {} }, { documents: {} }],
  pluginMap: { types, documents },
});
writeFileSync(new URL("src/operations.ts", import.meta.url), written);
