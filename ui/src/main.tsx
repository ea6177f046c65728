import { render } from "preact";
import { App } from "./app";

// The router throws on a path that cannot be decoded.
try {
  decodeURIComponent(location.pathname);
} catch {
  history.replaceState(null, "", "/");
}
render(<App />, document.getElementById("app")!);
