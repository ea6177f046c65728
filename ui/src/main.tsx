import { render } from "preact";
import { App } from "./app";

// The router would stumble over an address that cannot be read.
try {
  decodeURIComponent(location.pathname);
} catch {
  history.replaceState(null, "", "/");
}
render(<App />, document.getElementById("app")!);
