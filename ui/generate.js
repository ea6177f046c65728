// Writes src/operations.ts: the operations of src/operations.graphql, with the types of their variables and results.
import { readFileSync, writeFileSync } from "node:fs";
import { codegen } from "@graphql-codegen/core";
import * as documents from "@graphql-codegen/typed-document-node";
import * as types from "@graphql-codegen/typescript-operations";
import { parse } from "graphql";

const parseFile = (path) => parse(readFileSync(new URL(path, import.meta.url), "utf8"));

const source = await codegen({
  filename: "operations.ts",
  schema: parseFile("../schema/schema.graphql"),
  documents: [{ location: "operations.graphql", document: parseFile("src/operations.graphql") }],
  config: {
    documentMode: "string",
    enumType: "string-literal",
    scalars: { Date: "string", DateTime: "string", IPAddress: "string", MAC: "string", Period: "string" },
    strictScalars: true,
    useTypeImports: true,
  },
  plugins: [{ types: {} }, { documents: {} }],
  pluginMap: { types, documents },
});
writeFileSync(new URL("src/operations.ts", import.meta.url), source);
