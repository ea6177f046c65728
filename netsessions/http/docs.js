// Rewrites a value of the OpenAPI 3.1 description to what OpenAPI 3.0 calls it.
function downgradeTo30(_, value) {
  if (value === null || typeof value !== "object") return value;
  if ("const" in value) value.enum = [value.const];
  if (Array.isArray(value.examples)) value.example = value.examples[0];
  if (Array.isArray(value.type)) {
    value.nullable = value.type.includes("null");
    value.type = value.type.find((type) => type !== "null");
  }
  // Swagger UI would fill in the example as the value, which would filter out every row.
  if (value.in && value.schema) delete value.schema.example;
  return value;
}

// No validator: its badge would send the address of this server to the internet.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null,
  // Swagger UI 4 does not accept OpenAPI 3.1, so it receives the description as OpenAPI 3.0.
  responseInterceptor: (response) => {
    if (new URL(response.url).pathname === "/openapi.json") {
      response.text = JSON.stringify({ ...JSON.parse(response.text, downgradeTo30), openapi: "3.0.3" });
    }
    return response;
  },
});
