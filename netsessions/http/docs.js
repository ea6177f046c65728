function asIn30(_, value) {
  if (value === null || typeof value !== "object") return value;
  if ("const" in value) value.enum = [value.const];
  if (Array.isArray(value.examples)) value.example = value.examples[0];
  if (Array.isArray(value.type)) {
    value.nullable = value.type.includes("null");
    value.type = value.type.find((type) => type !== "null");
  }
  // Swagger UI fills a parameter in with its example, which would filter everything away.
  if (value.in && value.schema) delete value.schema.example;
  return value;
}

// Without a validator: its badge would send the address of this server to the internet.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null,
  // The installed Swagger UI (4) refuses OpenAPI 3.1 unread: it gets the description in the words of 3.0.
  responseInterceptor: (response) => {
    if (new URL(response.url).pathname === "/openapi.json") {
      response.text = JSON.stringify({ ...JSON.parse(response.text, asIn30), openapi: "3.0.3" });
    }
    return response;
  },
});
